// Package crosscheck compares what auditors signed with what their log published.
//
// It promises that each signed digest of another auditor that it compared is kept, and that one for
// another digest than the log showed here is told of, with both statements as evidence. So is a
// digest that the log posted to be signed here, and that is not the one in its directory. Only
// what is signed with a key that is pinned here accuses: faults and absences accuse nobody.
//
// An auditor is asked politely: a few times a second at most, a bounded number of times in a round,
// less often while it fails, and never for an epoch that has no verdict yet. What is due is derived
// from the audit store and what the auditor answers, so that any number of schedulers may do it.
package crosscheck
