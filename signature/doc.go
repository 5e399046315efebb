// Package signature reads, checks and makes signed digests: an auditor's signature over
// ciphersuite, namespace, timestamp, epoch and digest.
//
// It promises that Parse accepts only what every strict reader understands in one way, that
// Keys.Verify accepts only signatures by trusted keys, under the strict rules of ed25519-dalek's
// verify_strict, and that the errors tell the kinds of fault apart. A signed digest may be hostile
// until Keys.Verify has accepted it and Check has tied it to the epoch.
//
// It leaves to its callers which keys to trust, what a missing signed digest means, and what
// follows from an error. It does not log, and only BucketSource does I/O.
//
// The signed bytes and the JSON form are those of Cloudflare's plexi
// (https://github.com/cloudflare/plexi).
package signature
