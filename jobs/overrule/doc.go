// Package overrule has an epoch judged anew because the verdict on record came of a mistake of the
// operator's own, such as a wrong key, and records the result beside it, with who asked for it and
// why. Nothing on record changes; the newest overruling is the verdict that counts.
//
// It promises that an overruling is told of: its alert is in the outbox before it is on record. It
// leaves to jobs/audit how an epoch is judged, and to jobs/report what follows for many epochs.
package overrule
