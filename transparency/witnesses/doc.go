// Package witnesses asks C2SP tlog-witnesses to cosign the checkpoints of a log, and says whether
// enough of them did.
//
// It promises that nothing counts but a cosignature that verifies under a key of the policy, and
// that an answer is bounded in time and size. What follows from an answer is left to
// jobs/witnessing.
package witnesses
