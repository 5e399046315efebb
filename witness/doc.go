// Package witness cosigns the checkpoints of other logs, as C2SP's tlog-witness has it.
//
// It promises to cosign, for each origin, only trees of which each extends the one before, across
// crashes and any number of replicas over one audit store: what was seen last is a generation that
// is created once, before the cosignature is given. Listening is left to cmd/ktaudit.
package witness
