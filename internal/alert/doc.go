// Package alert brings to people what they must know: a rejected epoch above all.
//
// Whoever finds something raises an [Alert] in the [Outbox], which lies in the audit store; a [Dispatcher] sends what is open
// there to every [Target], the most severe first. Any number of processes may raise, and any number may dispatch.
//
// An alert reaches each target at least once, and, as a rule, once. What makes it so:
//
//  1. An incident has a name that follows from what happened ("rejected/000000000012"), and a notice is written once under it.
//     Retries and other workers raise the same incident and change nothing, also years after it was dealt with.
//  2. A worker raises before it writes the verdict. A crash before the raise leaves neither, and the epoch is judged again. A
//     crash between the two leaves an alert without verdict: it is sent, the epoch is judged again, comes to the same end, and
//     raises nothing new. So whenever a rejection is on record, its alert is in the outbox or was delivered.
//  3. A dispatcher sends to a target under a claim of that target, so that others keep still, and marks each delivery in the
//     audit store before it gives the claim back. A crash between the sending and the mark has the alert sent once more: this,
//     a process stopped for longer than its lease in just that moment, and clocks that differ by more than a lease are the only
//     ways to a duplicate. A webhook's receiver can tell one by namespace, incident and status; Alertmanager does by itself.
//  4. A notice is closed when all targets have it and nothing is left to repeat. The record stays for good, at a key that
//     follows from the incident; the folder of open notices, the only one that is listed, holds what is going on now.
//
// Conditions ([Kind.Ends]) are over when someone resolves them, which is a notice of its own. The next one is a new incident, so
// its name holds where it began ("silent/000000722606"). Facts stay facts; nobody resolves a rejection.
package alert
