// Package incident puts what is wrong with a log on record: the evidence first, then the incident,
// then an alert, once. And it reads what is open.
//
// A [Recorder] promises that there is no incident without its evidence and no alert without its
// incident, and that finding the same again changes nothing: evidence has the hash of its bytes in
// its name, and incidents and alerts are kept under the incident's name. After a crash in between,
// whoever finds it next does what is left, and [Recorder.Reconcile] does it for those that nobody
// finds again.
//
// A condition that ends is then open no more. A fact, such as a rejection, stays open for ever:
// somebody may acknowledge it, on record, once.
//
// What is wrong is found by the rooms above; alerts are sent by internal/alert, and all of it is
// kept by auditstore.
package incident
