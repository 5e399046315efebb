// Package transparency keeps the log of an auditor's own verdicts, so that others can check what it
// said and see when it is changed.
//
// For each namespace there are two C2SP tlog-tiles logs in the audit store, readable as plain
// files: entry i of the verdict log is the canonical bytes of the verdict on epoch First+i, or an
// Absence where the log never published that epoch; the event log has what came later. It promises
// that the tree only grows: its next size is decided by an object that is created once, tiles are
// created once, and nothing is signed before it was proven, from the tiles, to extend what was
// signed before. Merkle trees and notes are those of golang.org/x/mod/sumdb and
// filippo.io/torchwood.
//
// Holding the store against the logs is left to transparency/selfcheck, asking witnesses to
// transparency/witnesses, proofs that are checked offline to transparency/tlogproof, when to append
// and what follows to jobs/witnessing.
package transparency
