// Package timestamp is what follows when a log has its digests signed.
//
// It promises that a second digest posted for an epoch is on record, as evidence and as an
// incident, before the log is answered, that where only verified epochs are signed, each is signed
// once it has such a verdict, and that what was added or disabled while replicas run is so for all.
// Signing itself is the auditor's, HTTP the API's.
package timestamp
