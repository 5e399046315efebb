// Package auditor signs the digests that a log publishes: one for each epoch, for ever.
//
// A signature says that the auditor has seen a digest, and will sign no other one for its epoch. It
// does not say that the epoch was verified, unless the mode is Verified; verdicts say that.
//
// Its promises hold across crashes, retries and any number of replicas on one audit store, whose
// objects are created once. That is the only lock there is. Who may post, over what, and what is
// done with a conflict is left to others.
package auditor
