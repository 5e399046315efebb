// Package bundle makes one file of all that is on record of what is wrong with an epoch, and checks
// such a file on any machine.
//
// [Write] reads the audit store alone: it works after the log has deleted everything, and makes the
// same bytes of the same store. [Verify] needs nothing but the file. It judges the batches and the
// signed digests in it anew, says what they prove, and what is ktaudit's word only. A bundle may
// come from anybody: its counts, sizes, names and windows are bounded, nothing of it is written to
// disk, and what differs from its manifest is an error.
//
// What a bundle proves is that such batches and signatures exist. Collecting them is the business
// of jobs/evidence and jobs/audit.
package bundle
