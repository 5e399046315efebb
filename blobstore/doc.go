// Package blobstore opens the buckets that ktaudit reads from and writes to: local disk, memory,
// S3, Google Cloud Storage, Azure, and public logs.
//
// [OpenBucket] takes any bucket URL or plain path, and explains what is wrong with the others in
// one error that says what to change. How verdicts are kept in a bucket, each created once, is the
// business of package auditstore. The package does not log.
package blobstore
