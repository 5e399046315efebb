package witnesses_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"github.com/ktaudit/ktaudit/witness"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/tlog"
)

// realWitness starts a witness that knows logs.
type realWitness func(t *testing.T, logs ...*tlogtest.Log) witnesses.Member

var realWitnesses = map[string]realWitness{"litewitness": startLitewitness, "ktaudit": startOurs}

func startLitewitness(t *testing.T, logs ...*tlogtest.Log) witnesses.Member {
	t.Helper()
	s := testservers.Litewitness(t)
	for _, l := range logs {
		if err := s.Know(l.Verifier()); err != nil {
			t.Fatal(err)
		}
	}
	return witnesses.Member{URL: s.URL(), Key: s.Key()}
}

func startOurs(t *testing.T, logs ...*tlogtest.Log) witnesses.Member {
	t.Helper()
	store, err := auditstore.Open(t.Context(), "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var known []witness.Log
	for _, l := range logs {
		known = append(known, witness.Log{Key: l.Verifier()})
	}
	w, err := witness.New(store, "ours.example", tlogtest.Key("ours"), known)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler("/witness", zerolog.New(zerolog.NewTestWriter(t))))
	t.Cleanup(server.Close)
	return witnesses.Member{URL: server.URL + "/witness", Key: w.Key()}
}

func askFor(t *testing.T, w *witnesses.Witnesses, l *tlogtest.Log, size int64) (checkpoint []byte, answers []witnesses.Answer) {
	t.Helper()
	checkpoint = l.Checkpoint(size)
	answers = w.Ask(t.Context(), checkpoint, l.Tree(size), func(old int64) (tlog.TreeProof, error) { return l.Consistency(size, old), nil })
	return w.Assemble(checkpoint, answers), answers
}

func newWitnesses(t *testing.T, members ...witnesses.Member) *witnesses.Witnesses {
	t.Helper()
	w, err := witnesses.New(witnesses.Config{Members: members, Require: len(members)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestRealWitnesses is one suite for the witness of others and for ours.
func TestRealWitnesses(t *testing.T) {
	t.Parallel()
	for name, start := range realWitnesses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := tlogtest.New("auditor.example.org/example").Grow(300, "entry ")
			fork := tlogtest.New("auditor.example.org/example").Grow(60, "entry ").Grow(300, "other ")
			impostor := tlogtest.New("auditor.example.org/example").Grow(300, "entry ")
			impostor.Key = tlogtest.Key("impostor")
			stranger := tlogtest.New("auditor.example.org/unknown").Grow(5, "entry ")
			member := start(t, l)
			w := newWitnesses(t, member)
			cosigns := func(w *witnesses.Witnesses, size int64) {
				t.Helper()
				if checkpoint, answers := askFor(t, w, l, size); answers[0].Err != nil || !w.Met(checkpoint) || w.Cosigned(checkpoint)[0].Key != member.Key {
					t.Fatalf("%d entries: %v", size, answers[0].Err)
				}
			}
			for _, size := range []int64{1, 7, 7, 64, 100} {
				cosigns(w, size)
			}
			// A process that starts anew knows nothing of what was cosigned.
			cosigns(newWitnesses(t, member), 100)
			cosigns(newWitnesses(t, member), 131)
			cosigns(w, 140)
			var ahead *witnesses.AheadError
			if _, answers := askFor(t, w, l, 50); !errors.As(answers[0].Err, &ahead) || ahead.Size != 140 {
				t.Errorf("a smaller tree: %v", answers[0].Err)
			}
			var other *witnesses.OtherHistoryError
			for _, size := range []int64{140, 200} {
				if _, answers := askFor(t, newWitnesses(t, member), fork, size); !errors.As(answers[0].Err, &other) || other.Size != 140 || answers[0].Line != nil {
					t.Errorf("a fork of %d entries: %v", size, answers[0].Err)
				}
			}
			if _, answers := askFor(t, newWitnesses(t, member), impostor, 200); !errors.Is(answers[0].Err, witnesses.ErrNotSigned) {
				t.Errorf("another's key: %v", answers[0].Err)
			}
			if _, answers := askFor(t, newWitnesses(t, member), stranger, 5); !errors.Is(answers[0].Err, witnesses.ErrUnknownOrigin) {
				t.Errorf("an unknown log: %v", answers[0].Err)
			}
			cosigns(w, 300)
		})
	}
}

// TestBothWitnesses: two of two, of two makers.
func TestBothWitnesses(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("auditor.example.org/example").Grow(30, "entry ")
	w := newWitnesses(t, startLitewitness(t, l), startOurs(t, l))
	for _, size := range []int64{3, 30} {
		checkpoint, answers := askFor(t, w, l, size)
		if !w.Met(checkpoint) || len(w.Cosigned(checkpoint)) != 2 {
			t.Errorf("%d entries: %v", size, answers)
		}
	}
}
