// Package tlogproof makes and checks C2SP tlog-proofs of verdicts: one file that shows, to whoever
// has the auditor's and the witnesses' keys, that a verdict is in the auditor's log.
//
// It is pure and small, for it also runs in browsers. Where files come from is left to others.
package tlogproof
