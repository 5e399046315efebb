// Package tlogproof makes and checks C2SP tlog-proofs of verdicts: one file that shows, to whoever
// has the auditor's and the witnesses' keys, that a verdict is in the auditor's log. Beside them it
// has the statements that an auditor signs for each epoch.
//
// It is pure and small, for it also runs in browsers: with torchwood, which brings net/http, a
// program of WebAssembly has 1.7 MB compressed in place of 1.2. Where files come from is left to
// others.
package tlogproof
