// Package verdictcheck raises what verdicts on record show: rejections that nobody was alerted to,
// verified epochs that contradict each other, those that go back to an earlier one, and those that
// continue none behind a rejected one. It keeps the index of digests whole, by which these are
// found with one request however long a log is.
//
// A [Checker] promises that whatever it finds is on record, as evidence and as an alert, before it
// takes a verdict for checked, once, however often it is found. Which verdicts are new, and when to
// check them, is said by jobs/schedule; how two epochs link by package verdict.
package verdictcheck
