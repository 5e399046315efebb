// Package recheck looks again at what was judged.
//
// It promises that each epoch with a verdict is looked at some times after that, and now and then
// for ever, by what the log lists of it: another batch is an equivocation, one that was written
// anew is to be audited again, and one that is gone is withdrawn, once several answers over time
// have not had it. A few epochs a day are to be audited again whatever is listed.
//
// It derives what is due from the audit store and the clock alone, so that any number of schedulers
// may do it, and a restart leaves nothing out. To audit an epoch again, and what comes of that, is
// left to jobs/audit; whose turn it is, to the queue.
package recheck
