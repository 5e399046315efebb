// Package inprocess is the work list of one process that has its schedulers and its workers in it,
// and needs no Redis: maps and lists under one lock.
//
// It promises what [queue.Redis] does, which one conformance suite demands of both, as long as the
// process lives: a killed one loses the queue, and no verdict, for what is to be done is found
// again in the audit store. What only others could ask for, such as a pause, it does not have. It
// bounds nothing: a task takes some 300 bytes and the text of its last error, and who enqueues
// keeps to a window.
package inprocess
