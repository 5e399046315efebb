// Package timestamp is what follows when a log has its digests signed.
//
// It promises that a second digest posted for an epoch is on record, as evidence and as an
// incident, before the log is answered, and that where only verified epochs are signed, each is
// signed once it has such a verdict. Signing itself is the auditor's, HTTP the API's.
package timestamp
