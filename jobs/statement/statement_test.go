package statement

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob/memblob"
)

const namespace = jobstest.Namespace

func newStore(t *testing.T) *auditstore.Store {
	t.Helper()
	store := auditstore.New(memblob.OpenBucket(nil))
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func signerOf(t *testing.T, tier tlogproof.Tier) tlogproof.StatementSigner {
	t.Helper()
	s, err := tlogproof.NewStatementSigner("auditor.example.org", tier, tlogtest.Key("statements"))
	jobstest.Must(t, err)
	return s
}

func state(t *testing.T, store *auditstore.Store, epoch uint64, tier tlogproof.Tier) ([]byte, error) {
	t.Helper()
	return Make(t.Context(), store, Epoch{Namespace: namespace, Epoch: epoch, Origin: "example.kt/v1", Tier: tier}, signerOf(t, tier))
}

func judge(t *testing.T, store *auditstore.Store, v verdict.Verdict) {
	t.Helper()
	_, _, err := store.PutVerdict(t.Context(), v)
	jobstest.Must(t, err)
}

func TestVerifiedEpochIsStated(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	v := jobstest.GoodVerdict(7)
	judge(t, store, v)
	data, err := state(t, store, 7, tlogproof.TierVerified)
	jobstest.Must(t, err)
	r, err := tlogproof.CheckStatement(data, []string{signerOf(t, tlogproof.TierVerified).Key()})
	if err != nil || r.Statement != (tlogproof.Statement{Origin: "example.kt/v1", Epoch: 7, Digest: v.Digest}) || !r.Signed[0].At.Equal(v.FinishedAt.Truncate(time.Second)) {
		t.Errorf("%+v, %v", r, err)
	}
	again, err := state(t, store, 7, tlogproof.TierVerified)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("other bytes the second time: %s", again)
	}
	of, err := Of(v, "example.kt/v1", signerOf(t, tlogproof.TierVerified))
	if err != nil || !bytes.Equal(of, data) {
		t.Errorf("other bytes from the verdict itself: %s", of)
	}
	if of, err = Of(v, "", signerOf(t, tlogproof.TierVerified)); err != nil || !strings.HasPrefix(string(of), namespace+"\n7\n") {
		t.Errorf("%s, %v", of, err)
	}
}

// openContradiction raises that two verdicts on record do not fit each other.
func openContradiction(t *testing.T, store *auditstore.Store) {
	t.Helper()
	second := jobstest.GoodVerdict(8)
	second.Epoch = 7
	jobstest.Must(t, incident.Recorder{Store: store, Log: zerolog.Nop(), Metrics: observe.Nothing{}}.
		RecordBrokenChain(t.Context(), verdict.BrokenChain, jobstest.GoodVerdict(6), second))
}

func TestNothingIsStated(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, store *auditstore.Store){
		"no verdict": func(*testing.T, *auditstore.Store) {},
		"rejected":   func(t *testing.T, store *auditstore.Store) { judge(t, store, jobstest.RejectedVerdict(7)) },
		"overruled": func(t *testing.T, store *auditstore.Store) {
			judge(t, store, jobstest.GoodVerdict(7))
			v, hash, err := store.VerdictObject(t.Context(), namespace, 7)
			jobstest.Must(t, err)
			jobstest.Must(t, store.PutOverruling(t.Context(), verdict.Overruling{
				Schema: 1, Namespace: namespace, Epoch: 7, Number: 1, By: "Alex", Reason: "a wrong key", At: time.Now().UTC(),
				Overruled: verdict.Overruled{Outcome: v.Outcome, SHA256: hex.EncodeToString(hash[:])}, Verdict: jobstest.RejectedVerdict(7),
			}))
		},
		"something is open on it": func(t *testing.T, store *auditstore.Store) {
			judge(t, store, jobstest.GoodVerdict(7))
			openContradiction(t, store)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			prepare(t, store)
			if data, err := state(t, store, 7, tlogproof.TierVerified); !errors.Is(err, ErrNone) {
				t.Errorf("%s, %v", data, err)
			}
		})
	}
	if data, err := Of(jobstest.RejectedVerdict(7), "", signerOf(t, tlogproof.TierVerified)); !errors.Is(err, ErrNone) {
		t.Errorf("%s, %v", data, err)
	}
}

// TestChainedEpochIsStated: of names that continue each other, and not of one that stands alone.
func TestChainedEpochIsStated(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	if _, err := state(t, store, 7, tlogproof.TierChained); !errors.Is(err, ErrNone) {
		t.Errorf("no walk: %v", err)
	}
	run := func(from, to uint64) verdict.ChainRun {
		r := verdict.ChainRun{From: from, To: to, PreviousDigest: jobstest.DigestAfter(from - 1)}
		for epoch := from; epoch <= to; epoch++ {
			digest, err := hex.DecodeString(jobstest.DigestAfter(epoch))
			jobstest.Must(t, err)
			r.Digests = append(r.Digests, digest...)
		}
		return r
	}
	piece := verdict.ChainPiece{Schema: 1, Namespace: namespace, Runs: []verdict.ChainRun{run(1, 9), run(12, 12)}}
	hash, err := store.PutChainPiece(t.Context(), piece, 1)
	jobstest.Must(t, err)
	entry := verdict.ChainEntry{Generation: 1, SHA256: hash}
	for _, r := range piece.Runs {
		entry.Runs = append(entry.Runs, verdict.ChainSpan{
			From: r.From, To: r.To, PreviousDigest: r.PreviousDigest, Digest: jobstest.DigestAfter(r.To),
		})
	}
	walked := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	_, err = store.PutChain(t.Context(), verdict.Chain{
		Schema: 1, Namespace: namespace, Generation: 1, WalkedAt: walked, Shards: []verdict.ChainEntry{entry},
	})
	jobstest.Must(t, err)
	for epoch := uint64(1); epoch <= 9; epoch++ {
		data, err := state(t, store, epoch, tlogproof.TierChained)
		jobstest.Must(t, err)
		r, err := tlogproof.CheckStatement(data, []string{signerOf(t, tlogproof.TierChained).Key()})
		if err != nil || r.Digest != jobstest.DigestAfter(epoch) || r.Signed[0].Tier != tlogproof.TierChained || !r.Signed[0].At.Equal(walked) {
			t.Errorf("epoch %d: %+v, %v", epoch, r, err)
		}
	}
	for _, epoch := range []uint64{10, 12, 13, 5000} {
		if data, err := state(t, store, epoch, tlogproof.TierChained); !errors.Is(err, ErrNone) {
			t.Errorf("epoch %d: %s, %v", epoch, data, err)
		}
	}
	openContradiction(t, store)
	if data, err := state(t, store, 7, tlogproof.TierChained); !errors.Is(err, ErrNone) {
		t.Errorf("something is open: %s, %v", data, err)
	}
}
