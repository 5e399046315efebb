// Package queue is the work list: one task for each epoch, on a Redis queue, and any number of
// those who put epochs there and take them off.
//
// It promises that an epoch which is on a queue cannot be put there twice, that what Redis lost in
// part can be put there again, and that no task is given up because of a fault. With package
// command it is the only room that knows asynq, and it knows no audit store: whether an epoch is
// done is asked of that store alone, so that the queue may be lost and filled again.
package queue
