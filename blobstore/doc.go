// Package blobstore opens the buckets ktaudit reads and writes, and keeps the audit store: the record of what was verified.
//
// [OpenBucket] opens any bucket URL (local disk, memory, S3, Google Cloud Storage, Azure) and explains what is wrong with the
// others. A [Store] is the audit store in such a bucket. It promises that whatever it creates is created once, whole, and never
// changed: of several processes that write a verdict for one epoch, one wins, and all of them learn what it wrote. On cloud
// stores this rests on conditional writes; on local disk, on link(2) and fsync, so that it also survives a power failure.
//
// What a verdict means, and when one is due, is left to others. The package does not log.
package blobstore
