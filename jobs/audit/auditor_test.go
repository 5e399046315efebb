package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

func TestEveryKindOfTamperingGetsItsReason(t *testing.T) {
	t.Parallel()
	for _, kind := range simlog.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 9, Compression: simlog.Mixed, Tamper: map[uint64]simlog.Kind{5: kind}})
			a := w.auditor(t)
			for epoch := uint64(1); epoch <= 9; epoch++ {
				outcome, reason := verdict.Verified, verdict.Reason("")
				if epoch == 5 {
					outcome, reason = simlog.Expected(kind)
				}
				v, err := a.Audit(t.Context(), epoch)
				if outcome == simlog.Gap {
					if !errors.Is(err, fetcher.ErrNotPublished) {
						t.Errorf("epoch %d: error is %v, want ErrNotPublished", epoch, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if outcome == verdict.Rejected && kind != simlog.Equivocate {
					w.WantArchived(t, epoch)
				} else if outcome == verdict.Rejected && len(w.Evidence(t, epoch)) != 1 {
					t.Errorf("epoch %d: evidence is %q", epoch, w.Evidence(t, epoch))
				}
				if v.Outcome != outcome || v.Reason != reason {
					t.Errorf("epoch %d is %s (%s: %s), want %s (%s)", epoch, v.Outcome, v.Reason, v.Detail, outcome, reason)
				}
				on, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, epoch)
				if err != nil || on.Outcome != outcome {
					t.Errorf("epoch %d: on record is %q, %v", epoch, on.Outcome, err)
				}
			}
		})
	}
}

func TestVerdictSaysWhatWasJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3, Compression: simlog.Zstd})
	v, err := w.auditor(t).Audit(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	key := w.KeyOf(t, 2)
	stored, err := w.Log.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	name, _, err := fetcher.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case v.Schema != 1 || v.Namespace != jobstest.Namespace || v.Epoch != 2 || v.Software != "ktaudit test":
		t.Errorf("head is %+v", v)
	case v.PreviousDigest != name.PreviousDigest.String() || v.Digest != name.Digest.String():
		t.Errorf("digests are %s and %s, want those of %s", v.PreviousDigest, v.Digest, key)
	case v.Inserted != 20 || v.Unchanged == 0:
		t.Errorf("inserted %d, unchanged %d", v.Inserted, v.Unchanged)
	case v.Batch.Key != key || v.Batch.StoredBytes != int64(len(stored)) || v.Batch.Bytes == 0 || v.Batch.Compression != "zstd":
		t.Errorf("batch is %+v", v.Batch)
	case v.Signature.Status != verdict.SignatureVerified || v.Signature.KeyID == nil || v.Signature.Timestamp == 0:
		t.Errorf("signature is %+v", v.Signature)
	case v.StartedAt.IsZero() || v.FinishedAt.Before(v.StartedAt) || v.VerifySeconds <= 0:
		t.Errorf("times are %v, %v, %v s", v.StartedAt, v.FinishedAt, v.VerifySeconds)
	}
	signed, err := w.config.Store.Signature(t.Context(), jobstest.Namespace, 2)
	if err != nil {
		t.Fatal(err)
	}
	if published, _ := w.Signatures.ReadAll(t.Context(), "2.json"); !bytes.Equal(signed, published) {
		t.Error("the audit store has another signed digest than was published")
	}
}

func TestOneLineForEachEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2, Tamper: map[uint64]simlog.Kind{2: simlog.Digest}})
	var log bytes.Buffer
	w.config.Log = zerolog.New(&log)
	a := w.auditor(t)
	for _, epoch := range []uint64{1, 2, 1, 2} { // the second time there is nothing to tell
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), log.String())
	}
	for i, want := range []map[string]any{
		{"level": "info", "epoch": 1.0, "outcome": "verified", "message": "epoch verified"},
		{"level": "error", "epoch": 2.0, "outcome": "rejected", "reason": "digest_mismatch", "message": "epoch rejected"},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		for field, value := range want {
			if got[field] != value {
				t.Errorf("line %d: %s is %v, want %v", i, field, got[field], value)
			}
		}
		for _, figure := range []string{"inserted", "unchanged", "bytes", "stored_bytes", "compression",
			"locate_seconds", "signature_seconds", "verify_seconds", "write_seconds"} {
			if _, ok := got[figure]; !ok {
				t.Errorf("line %d has no %s", i, figure)
			}
		}
	}
}

func TestConcurrentAuditsAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	var log bytes.Buffer
	w.config.Log = zerolog.New(zerolog.SyncWriter(&log))
	a := w.auditor(t)
	results := make(chan verdict.Verdict, 16)
	for i := range cap(results) {
		go func() {
			v, err := a.Audit(context.Background(), uint64(1+i%2))
			if err != nil {
				t.Error(err)
			}
			results <- v
		}()
	}
	seen := map[uint64]time.Time{}
	for range cap(results) {
		v := <-results
		if first, ok := seen[v.Epoch]; ok && !first.Equal(v.FinishedAt) {
			t.Errorf("epoch %d: two verdicts", v.Epoch)
		}
		seen[v.Epoch] = v.FinishedAt
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines for two epochs:\n%s", n, log.String())
	}
}

func TestStrayObjectIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	key := w.KeyOf(t, 1)
	jobstest.MoveObject(t, w.Log, key, strings.ToUpper(key))
	v, err := w.auditor(t).Audit(t.Context(), 1)
	if err != nil || v.Reason != verdict.MalformedProof || !strings.Contains(v.Detail, "is not a batch") {
		t.Errorf("verdict is %s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
	}
	if got := w.Evidence(t, 1); len(got) != 1 || !strings.Contains(got[0], strings.ToUpper(key)) {
		t.Errorf("evidence is %q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	for name, spoil := range map[string]func(*Config){
		"no namespace":     func(c *Config) { c.Namespace = "" },
		"namespace climbs": func(c *Config) { c.Namespace = "../x" },
		"no fetcher":       func(c *Config) { c.Fetcher = nil },
		"no store":         func(c *Config) { c.Store = nil },
		"no configuration": func(c *Config) { c.Configuration = validator.Configuration{} },
		"no first epoch":   func(c *Config) { c.First = 0 },
		"no budget":        func(c *Config) { c.Budget = nil },
		"negative age":     func(c *Config) { c.MinAge = -1 },
	} {
		c := w.config
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
