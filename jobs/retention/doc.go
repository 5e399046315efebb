// Package retention removes the archived batches of a log when they have been kept long enough.
//
// It promises that a batch stays unless everything speaks for removing it; [Remover] says what that
// is. Verdicts, signed digests and evidence are never removed: the audit store has no way to. How
// long batches are kept is said by the configuration, and whether they are archived at all by
// jobs/audit.
package retention
