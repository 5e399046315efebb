// Package worker takes epochs from the queue and has them audited: [Worker] for as long as it is
// let, [Run] until a range has its verdicts.
//
// It promises that no epoch is given up because of a fault, that a worker that is told to stop
// finishes or hands back what it is at, and that one epoch's trouble costs the others nothing. What
// becomes of an epoch is the business of jobs/audit, what is on the queue that of jobs/queue and
// whoever enqueues.
package worker
