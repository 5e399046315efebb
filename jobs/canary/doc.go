// Package canary sees to it that the judge still rejects what it must.
//
// Now and then a [Canary] damages a proof that has just been verified, in two ways, and has it
// judged again. It promises that each damaged proof is wrong whatever the log published, and that
// one which is verified all the same ends the judging of the whole process: from then on Broken
// returns an error, for good. Proofs are copied element by element, so a log has no part in where
// the damage goes, and cannot publish a proof that the damage does not harm.
//
// When to test is decided by jobs/audit, which also raises the alert.
package canary
