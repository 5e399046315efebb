// Package auditstore keeps the audit store: the record of what was verified, in any bucket.
//
// It promises that whatever it creates is created once, whole, and never changed: of several
// processes that write a verdict on one epoch, one wins, and all of them learn what it wrote. How
// is the business of internal/writeonce. Nothing but archived batches, open notices and conditions,
// claims and outdated histories is ever removed.
//
// What the objects mean is said by package verdict, when one is due is left to the rooms of jobs.
// The package does not log.
package auditstore
