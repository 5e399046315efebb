// Package reaudited notes which batches were audited again because they were listed otherwise than
// when they were judged.
//
// It promises that a listing which was audited again is known to every process. What is audited
// again, and what follows, is left to jobs/recheck and jobs/audit.
package reaudited
