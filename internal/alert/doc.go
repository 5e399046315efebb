// Package alert brings to people what they must know: above all, that an epoch was rejected.
//
// It promises that every alert raised without an error is in a message that reaches each target, at
// least once and, as a rule, exactly once. It decides when and in what order alerts are sent, which
// of them are one message, and when one is done. It leaves to others what is worth an alert and
// when a condition is over (jobs), where notices are kept in the audit store (blobstore), and in
// what form each kind of target gets them (internal/alert/targets).
//
// Whoever finds something raises an [Alert] in the [Outbox], which is part of the audit store. A
// [Dispatcher] sends what is open there to every [Target], the most severe first. Any number of
// processes may raise, and any number may dispatch.
//
// The promise rests on four rules:
//
//  1. An incident has a name that follows from what happened ("rejected/000000000012"), and a
//     notice is written once under it. Retries and other workers raise the same incident and
//     change nothing, even years after it was dealt with.
//  2. A worker raises before it writes the verdict. A crash before the raise leaves neither, and
//     the epoch is audited again. A crash between the two leaves an alert without a verdict: it is
//     sent, the epoch is audited again with the same result, and nothing new is raised. So
//     whenever a rejection is on record, its alert is in the outbox or was delivered.
//  3. A dispatcher sends to a target only while it holds the claim of that target, so that others
//     wait, and marks each delivery in the audit store before it gives the claim back. A crash
//     between sending and marking makes the alert arrive twice. The only other ways to a duplicate
//     are a process that stops for longer than its lease at just that moment, and clocks that
//     differ by more than a lease. A webhook's receiver recognises a duplicate by its
//     webhook-id; Alertmanager does so by itself.
//  4. A notice is closed when all targets have it and nothing is left to repeat. Its record stays
//     for good, at a key that follows from the incident. The folder of open notices, the only one
//     that is listed, holds only what is going on now.
//
// To targets that people read, those that are not [Target.Mixed], alerts of one cause, that is of
// one log, kind, reason and status, go out as one message, so that a log that publishes thousands
// of bad epochs does not bury people. The first goes out at once;
// what comes after it waits for a pause to end, which is longer after each message: 1, 5 and then
// 15 minutes. Each alert keeps its own notice, mark and record: what a crash leaves without a mark
// is sent again, and nothing is lost between two messages. Pauses are on record, so that all
// processes keep them; a pause that is lost makes a message early.
//
// A condition ([Kind.Ends]) is over when somebody resolves it, which is a notice of its own. The
// next condition is a new incident, so its name says where it began ("silent/000000722606"). Facts
// stay facts: nobody resolves a rejection.
package alert
