package summary

import (
	"crypto/ed25519"
	"testing"

	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"golang.org/x/mod/sumdb/note"
)

// Witnesses are told apart by their keys: what one of two with the same name has cosigned counts
// once, and not for the other.
func TestWitnessesOfOneName(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("auditor.example.org/example").Grow(5, "entry ")
	other, err := tlogproof.NewCosigner("a.example", tlogtest.Key("another"))
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{Verdicts: l.Verifier(), Witnesses: []string{tlogtest.Witness("a.example"), other.Key(), tlogtest.Witness("b.example")}, Require: 2}
	for _, c := range []struct {
		name     string
		signed   []byte
		cosigned [3]bool
		enough   bool
	}{
		{"one of them", tlogtest.Cosign(l.Checkpoint(5), "a.example"), [3]bool{true, false, false}, false},
		{"one of them and another", tlogtest.Cosign(l.Checkpoint(5), "a.example", "b.example"), [3]bool{true, false, true}, true},
		{"nobody", l.Checkpoint(5), [3]bool{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var w Witnessed
			w.check(keys, c.signed)
			if w.Problem != "" || w.Size != 5 || w.Enough != c.enough || len(w.Cosigners) != 3 {
				t.Fatalf("%+v", w)
			}
			for i, want := range c.cosigned {
				if got := !w.Cosigners[i].At.IsZero(); got != want {
					t.Errorf("%s is shown to have cosigned: %v, want %v", w.Cosigners[i].Name, got, want)
				}
			}
		})
	}
}

// A checkpoint from before the log's key was changed counts, if the former key is configured.
func TestWitnessedUnderFormerKey(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("auditor.example.org/example").Grow(5, "entry ")
	now, err := note.NewEd25519VerifierKey("auditor.example.org/example", tlogtest.Key("changed").Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	signed := tlogtest.Cosign(l.Checkpoint(5), "a.example")
	keys := Keys{Verdicts: now, Witnesses: []string{tlogtest.Witness("a.example")}, Require: 1}
	var without Witnessed
	if without.check(keys, signed); without.Problem == "" || without.Enough {
		t.Errorf("without the former key: %+v", without)
	}
	keys.FormerVerdicts = []string{l.Verifier()}
	var with Witnessed
	if with.check(keys, signed); with.Problem != "" || !with.Enough || with.Size != 5 {
		t.Errorf("with the former key: %+v", with)
	}
}
