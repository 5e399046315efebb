package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/observe"
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

func TestEvidenceIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 4, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate, 3: simlog.Malformed}})
	a := w.auditor(t)

	v, err := a.Audit(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.config.Fetcher.Locate(t.Context(), 2)
	published, ok := errors.AsType[*fetcher.EquivocationError](err)
	if !ok {
		t.Fatal(err)
	}
	if !strings.HasPrefix(v.Batch.Key, fmt.Sprintf("2/%s/%s", v.PreviousDigest, v.Digest)) || v.Batch.Key != published.Keys[0] {
		t.Errorf("the verdict is on %s, want %s", v.Batch.Key, published.Keys[0])
	}
	for _, key := range published.Keys {
		if !strings.Contains(v.Detail, key) {
			t.Errorf("detail %q does not name %s", v.Detail, key)
		}
	}
	if got := w.Evidence(t, 2); len(got) != 1 || !strings.Contains(got[0], published.Keys[1]) {
		t.Errorf("evidence is %q, want one that names %s", got, published.Keys[1])
	}

	if _, err := a.Audit(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	w.WantArchived(t, 3)
	if _, err := w.config.Store.OpenArchive(t.Context(), jobstest.Namespace, 4); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("an unjudged batch is archived: %v", err)
	}
}

func TestArchiveKeepsEveryBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 4, Compression: simlog.Mixed, Tamper: map[uint64]simlog.Kind{3: simlog.Malformed}})
	w.config.Archive = true
	a := w.auditor(t)
	for epoch := uint64(1); epoch <= 4; epoch++ {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
		w.WantArchived(t, epoch)
	}
}

func TestContradictionLeavesTheVerdictAndIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	a := w.auditor(t)
	measured := &attempt{Attempt: observe.Nothing{}}
	j, err := a.judge(t.Context(), measured, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.Audit(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	j = j.rejected(verdict.DigestMismatch, "another worker sees it otherwise")
	recorded, _, err := a.record(t.Context(), measured, j)
	if _, ok := errors.AsType[*ContradictionError](err); !ok {
		t.Fatalf("error is %v, want a ContradictionError", err)
	}
	if recorded.Outcome != first.Outcome {
		t.Errorf("on record is %s, want %s", recorded.Outcome, first.Outcome)
	}
	if got := w.Evidence(t, 1); len(got) != 1 || !strings.Contains(got[0], "another worker sees it otherwise") {
		t.Errorf("evidence is %q", got)
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

func TestBatchThatUnpacksToMoreThanExpected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	w.config.Archive = true
	key := w.KeyOf(t, 1)
	proof, err := w.Log.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	// An unknown field of 3 MiB zeros, which every decoder skips and which nearly vanishes in
	// compression.
	proof = append(proof, 15<<3|2, 0x80, 0x80, 0xc0, 0x01)
	proof = append(proof, make([]byte, 3<<20)...)
	encoder, _ := zstd.NewWriter(nil)
	stored := encoder.EncodeAll(proof, nil)
	if err := w.Log.WriteAll(t.Context(), key, stored, nil); err != nil {
		t.Fatal(err)
	}
	v, err := w.auditor(t).Audit(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.Outcome != verdict.Verified || v.Batch.Bytes != int64(len(proof)) || v.Batch.StoredBytes != int64(len(stored)) {
		t.Errorf("verdict is %+v", v)
	}
}

func TestTooLargeIsRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits fetcher.Options
		proof  validator.Options
	}{
		{"stored", fetcher.Options{MaxStoredBytes: 100}, validator.Options{}},
		{"unpacked", fetcher.Options{MaxBytes: 100}, validator.Options{}},
		{"proof", fetcher.Options{}, validator.Options{MaxBytes: 100}},
		{"elements", fetcher.Options{}, validator.Options{MaxElements: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 1})
			w.config.Fetcher, w.config.Limits = fetcher.New(w.Log, c.limits), c.proof
			v, err := w.auditor(t).Audit(t.Context(), 1)
			if err != nil || v.Reason != verdict.BatchTooLarge {
				t.Errorf("verdict is %s (%s), %v", v.Outcome, v.Reason, err)
			}
			if c.name == "stored" { // and so was not read
				if got := w.Evidence(t, 1); len(got) != 1 || !strings.Contains(got[0], w.KeyOf(t, 1)) {
					t.Errorf("evidence is %q", got)
				}
			} else {
				w.WantArchived(t, 1)
			}
		})
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

// panickingAt panics at the nth call of Read or of Stage for Memory.
type panickingAt struct {
	observe.Nothing
	read, memory int
}

func (p *panickingAt) Begin(context.Context, string, uint64) observe.Attempt { return p }

func (p *panickingAt) Read(int64, int64) {
	if p.read--; p.read == 0 {
		panic("on purpose")
	}
}

func (p *panickingAt) Stage(s observe.Stage, _ time.Time) {
	if s != observe.Memory {
		return
	}
	if p.memory--; p.memory == 0 {
		panic("on purpose")
	}
}

// TestPanicLeavesNoDraft: after a panic nothing of a batch that was being kept is left behind.
func TestPanicLeavesNoDraft(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]*panickingAt{
		"while the batch is fetched":          {read: 1},
		"before a rejected one is read again": {memory: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 1, Tamper: map[uint64]simlog.Kind{1: simlog.Malformed}})
			folder := t.TempDir()
			store, err := auditstore.Open(t.Context(), folder)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			w.config.Store, w.config.Archive, w.config.Metrics = store, true, at
			if _, err := w.auditor(t).Audit(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "panic") {
				t.Errorf("error is %v, want one about a panic", err)
			}
			folders := 0
			err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() && strings.Contains(path, "/.tmp/") {
					t.Errorf("%s is left", path)
				}
				if err == nil && entry.Name() == ".tmp" {
					folders++
				}
				return err
			})
			if err != nil || folders == 0 {
				t.Errorf("%d folders of drafts, %v: the test shows nothing", folders, err)
			}
		})
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	var log bytes.Buffer
	w.config.Log = zerolog.New(&log)
	a := w.auditor(t)
	a.Budget = nil // which New never lets happen
	_, err := a.Audit(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("error is %v, want one about a panic", err)
	}
	if !strings.Contains(log.String(), "fetch.go") {
		t.Errorf("the log has no stack:\n%s", log.String())
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

// Ten big epochs on a machine with memory for two at a time queue up.
func TestBigEpochsQueueForMemory(t *testing.T) {
	t.Parallel()
	const epochs = 10
	w := newWorld(t, simlog.Options{Epochs: epochs, FirstLoad: 4000, Insertions: 4000})
	object, err := w.config.Fetcher.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if object.Size <= smallBatch {
		t.Fatalf("a batch of %d bytes is a small one", object.Size)
	}
	g := jobstest.NewGate()
	w.config.Fetcher = fetcher.New((&jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 2)), BeforeOpen: g.Pass}).Over(t, w.Log), fetcher.Options{})
	w.config.Budget = NewBudget(2*memoryFor(object.Size, 0) + memoryFor(object.Size, 0)/2)
	a := w.auditor(t)
	results := make(chan error, epochs)
	for epoch := uint64(1); epoch <= epochs; epoch++ {
		go func() {
			v, err := a.Audit(context.Background(), epoch)
			if err == nil && v.Outcome != verdict.Verified {
				err = errors.New(v.Detail)
			}
			results <- err
		}()
	}
	// The signed digests are read from another bucket, so whoever enters has its memory.
	<-g.Entered
	<-g.Entered
	if w.config.Budget.Size()-w.config.Budget.Reserved() >= memoryFor(object.Size, 0) {
		t.Error("there is memory for a third")
	}
	close(g.Open)
	for range epochs {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
