// Package incident puts what is wrong with a log on record: the evidence first, then an alert,
// once.
//
// A [Recorder] promises that there is no alert without its evidence, and that finding the same
// again changes nothing: evidence has the hash of its bytes in its name, and an alert the name of
// its incident. After a crash between the two, whoever finds it next does both. What is wrong is
// found by the rooms above; alerts are sent by internal/alert, and both are kept by auditstore.
package incident
