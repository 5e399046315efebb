package golden_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/witnessing"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
)

// ownLogSigner signs as tlogtest does.
type ownLogSigner struct {
	note.Verifier
	log *tlogtest.Log
}

func (s ownLogSigner) Sign(text []byte) ([]byte, error) {
	return ed25519.Sign(s.log.Key, text), nil
}

// accuseVerdictLog puts on record that the store is not what a log of two verdicts signed, and that
// a witness disagrees.
func accuseVerdictLog(t *testing.T) []object {
	w := emptyWorld(t)
	w.put(t, verdictOn(12))
	w.put(t, verdictOn(13))
	origin := transparency.Origin("auditor.example.org", namespace, transparency.Verdicts)
	log := tlogtest.New(origin)
	verifier, err := note.NewVerifier(log.Verifier())
	must(t, err)
	l := transparency.Open(w.store, namespace, transparency.Verdicts)
	_, err = l.Begin(t.Context(), 12)
	must(t, err)
	c, err := l.Advance(t.Context(), ownLogSigner{verifier, log}, transparency.Own(origin, verifier), 100)
	must(t, err)
	incidents := incident.Recorder{Store: w.store, Log: zerolog.Nop()}
	must(t, witnessing.RaiseChanged(t.Context(), incidents, namespace, l, witnessing.Changed{
		Log: "verdicts", Size: c.N, Root: c.Hash.String(), Found: []string{"the verdict on epoch 12 was removed: the log has it"},
	}))
	must(t, witnessing.RaiseDisagreement(t.Context(), incidents, namespace, l, witnessing.Disagreement{
		Log: "verdicts", Witness: "witness.example", URL: "https://witness.example", Key: tlogtest.Witness("witness.example"),
		Knows: witnessing.OtherHistory, Size: 1, Checkpoint: string(c.Note), Proof: []string{c.Hash.String()}, Tree: c.Tree,
	}))
	return w.audit.objects()
}
