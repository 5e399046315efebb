// Package writeonce creates objects once, whole, in a bucket or in a folder on local disk.
//
// It promises that of several processes that create an object under one key, one wins and all
// others get [ErrExists], and that nobody ever reads a part of an object. On cloud stores this
// rests on conditional writes, which the store is asked about before the first; on local disk, on
// link(2) and fsync, so that it also survives a power failure. Nothing replaces an object but
// Replace, which is for what stands, or can be had, elsewhere.
//
// Keys and bytes, and what may ever be removed, are left to blobstore/auditstore.
package writeonce
