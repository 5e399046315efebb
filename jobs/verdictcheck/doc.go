// Package verdictcheck raises what verdicts on record show: rejections that nobody was alerted to,
// and verified epochs that contradict each other.
//
// A [Checker] promises that whatever it finds is on record, as evidence and as an alert, before it
// takes a verdict for checked, once, however often it is found. Which verdicts are new, and when to
// check them, is said by jobs/schedule; how two epochs link by package verdict.
package verdictcheck
