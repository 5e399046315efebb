// Package auditstore keeps the audit store: the record of what was verified, in any bucket.
//
// It promises that whatever it creates is created once, whole, and never changed: of several
// processes that write a verdict on one epoch, one wins, and all of them learn what it wrote. On
// cloud stores this rests on conditional writes; on local disk, on link(2) and fsync, so that it
// also survives a power failure. Nothing but archived batches, open notices, claims and outdated
// histories is ever removed.
//
// What the objects mean is said by package verdict, when one is due is left to the rooms of jobs.
// The package does not log.
package auditstore
