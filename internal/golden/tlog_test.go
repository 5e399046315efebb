package golden_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
)

// noteKey is a key that follows from its name.
func noteKey(t *testing.T, name string) (note.Signer, note.Verifier) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	public, err := note.NewEd25519VerifierKey(name, ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	must(t, err)
	hash := strings.Split(public, "+")[1]
	signer, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...)))
	must(t, err)
	verifier, err := note.NewVerifier(public)
	must(t, err)
	return signer, verifier
}

// appendVerdicts appends to a verdict log twice, the second time a verdict and an absence, and has
// a witness sign it.
func appendVerdicts(t *testing.T) []object {
	w := emptyWorld(t)
	l := transparency.Open(w.store, namespace, transparency.Verdicts)
	_, err := l.Begin(t.Context(), 1000)
	must(t, err)
	signer, verifier := noteKey(t, transparency.Origin("auditor.example.org", namespace, transparency.Verdicts))
	witness, _ := noteKey(t, "witness.example.net")
	own := transparency.Own(signer.Name(), verifier)
	w.put(t, verdictOn(1000))
	_, err = l.Advance(t.Context(), signer, own, 100)
	must(t, err)
	w.put(t, verdictOn(1001))
	_, err = l.PutAbsence(t.Context(), 1002, "R. Ivanov", "the log went on without it <&>", began)
	must(t, err)
	c, err := l.Advance(t.Context(), signer, own, 100)
	must(t, err)
	n, err := note.Open(c.Note, note.VerifierList(verifier))
	must(t, err)
	c.Note, err = note.Sign(n, witness)
	must(t, err)
	must(t, l.PutWitnessed(t.Context(), c))
	must(t, l.Publish(t.Context(), c))
	return w.audit.objects()
}

// recordEvents makes events of each kind.
func recordEvents(t *testing.T) []object {
	w, _ := sealed(t)
	l := transparency.Open(w.store, namespace, transparency.Verdicts)
	_, err := l.Begin(t.Context(), 1)
	must(t, err)
	must(t, w.store.PutOverruling(t.Context(), verdict.Overruling{
		Schema: verdict.Schema, Namespace: namespace, Epoch: 331, Number: 1, By: "R. Ivanov", Reason: "wrong key", At: began,
		Overruled: verdict.Overruled{Outcome: verdict.Rejected, Reason: verdict.SignatureInvalid, SHA256: digest(331)}, Verdict: verdictOn(331),
	}))
	r := incident.Recorder{Store: w.store, Log: zerolog.Nop()}
	must(t, r.Raise(t.Context(), alert.Alert{
		Namespace: namespace, Kind: alert.Canary, Incident: "canary/proof", At: began, Summary: "a summary", Detail: "a detail",
	}))
	_, _, err = r.Acknowledge(t.Context(), incident.Acknowledgement{Namespace: namespace, Incident: "canary/proof", By: "R. Ivanov", Reason: "seen", At: began})
	must(t, err)

	signer, verifier := noteKey(t, transparency.Origin("auditor.example.org", namespace, transparency.Verdicts))
	_, err = l.PutAbsence(t.Context(), 1500, "R. Ivanov", "it never came", began)
	must(t, err)
	_, err = l.Advance(t.Context(), signer, transparency.Own(signer.Name(), verifier), 10_000)
	must(t, err)
	w.put(t, verdictOn(1500))
	// other incidents have the time of the test
	isCanary := func(incident []byte) bool { return bytes.Contains(incident, []byte("canary")) }
	_, err = transparency.NewRecorder(w.store, namespace, isCanary).Record(t.Context())
	must(t, err)
	return w.audit.objects()
}
