package audit

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// collecting gives the world's auditor a collector.
func (w *world) collecting() {
	w.config.Evidence = &evidence.Collector{
		Namespace: jobstest.Namespace, Fetcher: w.config.Fetcher, Store: w.config.Store, Signatures: w.config.Signatures,
		MaxBatches: 4, MaxBytes: 1 << 20, Software: "ktaudit test", Log: zerolog.Nop(),
	}
}

// findings returns the findings on an epoch, and its other evidence.
func (w *world) findings(t *testing.T, epoch uint64) (all []evidence.Findings, others []string) {
	t.Helper()
	for _, piece := range w.Evidence(t, epoch) {
		var f evidence.Findings
		if json.Unmarshal([]byte(piece), &f) == nil && f.Schema == evidence.Schema && f.Listings != nil {
			all = append(all, f)
		} else {
			others = append(others, piece)
		}
	}
	return all, others
}

// An epoch with two batches keeps both, each judged, though neither was needed for its verdict;
// with the listing and what was signed.
func TestBothBatchesOfAnEquivocationAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	w.collecting()
	if _, err := w.auditor(t).Audit(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	all, others := w.findings(t, 2)
	if len(all) != 1 || len(all[0].Batches) != 2 {
		t.Fatalf("findings are %+v", all)
	}
	for _, b := range all[0].Batches {
		published, err := w.Log.ReadAll(t.Context(), b.Key)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(b.Kept, "batch-") || !slices.Contains(others, string(published)) || b.Judged == nil {
			t.Errorf("batch %+v is not kept and judged", b)
		}
	}
	if l := all[0].Listings; len(l) == 0 || len(l[len(l)-1].Objects) != 2 {
		t.Errorf("listings are %+v", l)
	}
	if s := all[0].SignedDigests; len(s) != 3 || len(s[1].Data) == 0 {
		t.Errorf("signed digests are %+v, want those of epochs 1 to 3", s)
	}
}

// Of neighbours that do not continue each other both batches are kept.
func TestBatchesOfBrokenNeighboursAreKept(t *testing.T) {
	t.Parallel()
	w := newSplicedWorld(t)
	w.config.Keys, w.config.Signatures = signature.Keys{}, nil
	w.collecting()
	w.auditAll(t, 10, 11)
	all, others := w.findings(t, 11)
	if len(all) != 1 {
		t.Fatalf("findings are %+v", all)
	}
	kept := map[uint64]string{}
	for _, b := range all[0].Batches {
		kept[b.Epoch] = b.Kept
	}
	before, err := w.batch(t, 10)
	if err != nil {
		t.Fatal(err)
	}
	if kept[11] != "archive" || kept[10] == "" || !slices.Contains(others, string(before)) {
		t.Errorf("kept are %v, want both batches", kept)
	}
}

// What cannot be had changes no verdict and is said.
func TestFaultsOfCollectingAreSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	w.collecting()
	w.config.Evidence.Signatures = nil
	w.config.Evidence.Fetcher = fetcher.New(jobstest.OpenMemory(t), fetcher.Options{}) // the log has deleted all
	v, err := w.auditor(t).Audit(t.Context(), 2)
	if err != nil || v.Reason != verdict.Equivocation {
		t.Fatalf("%+v, %v", v, err)
	}
	all, _ := w.findings(t, 2)
	if len(all) != 1 || all[0].Batches[0].NotKept == "" || all[0].SignedDigests[0].Error == "" {
		t.Errorf("findings are %+v", all)
	}
	jobstest.WantNotices(t, w.config.Store, "1-equivocation.000000000002")
}

// Where even that cannot be written, the rejection is on record all the same.
func TestFindingsThatCannotBeWrittenLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Malformed}})
	w.config.Store = w.storeWith(t, func(_ context.Context, key string) error {
		if strings.Contains(key, "/findings-") {
			return jobstest.ErrFault
		}
		return nil
	})
	w.collecting()
	v, err := w.auditor(t).Audit(t.Context(), 2)
	if err != nil || v.Outcome != verdict.Rejected {
		t.Fatalf("%+v, %v", v, err)
	}
	w.WantArchived(t, 2)
}

// A log that does not answer costs the findings no more than what it does not answer.
func TestFindingsOfALogThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	j := judgement{verdict: jobstest.RejectedVerdict(2)}
	j.verdict.Batch.Key = w.KeyOf(t, 2)
	j.object.Key = j.verdict.Batch.Key
	synctest.Test(t, func(t *testing.T) {
		hung := jobstest.OpenMemory(t)
		w.config.Store = auditstore.New(jobstest.OpenMemory(t))
		w.collecting()
		w.config.Evidence.Signatures = nil
		w.config.Evidence.Fetcher = fetcher.New(hangingOver(t, hung), fetcher.Options{})
		w.auditor(t).collect(t.Context(), &attempt{Attempt: observe.Nothing{}}, j)
		names, err := w.config.Store.EvidenceNames(t.Context(), jobstest.Namespace, 2)
		if err != nil || len(names) != 1 {
			t.Errorf("there are %q, %v", names, err)
		}
	})
}

// A worker that is told to stop does not spend on collecting what it has left for its verdict.
func TestCollectingLeavesTimeForTheVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	j := judgement{verdict: jobstest.RejectedVerdict(2)}
	j.verdict.Batch.Key = w.KeyOf(t, 2)
	j.object.Key = j.verdict.Batch.Key
	synctest.Test(t, func(t *testing.T) {
		w.config.Store = auditstore.New(jobstest.OpenMemory(t))
		w.collecting()
		w.config.Evidence.Signatures = nil
		w.config.Evidence.Fetcher = fetcher.New(hangingOver(t, jobstest.OpenMemory(t)), fetcher.Options{})
		stopped, stop := context.WithCancel(t.Context())
		stop()
		began := time.Now()
		w.auditor(t).collect(stopped, &attempt{Attempt: observe.Nothing{}}, j)
		if took := time.Since(began); took > verify.SaveTimeout*2/3 {
			t.Errorf("it took %s of %s", took, verify.SaveTimeout)
		}
	})
}

// hangingBucket answers nothing.
type hangingBucket struct{ jobstest.FaultyBucket }

func (hangingBucket) Attributes(ctx context.Context, _ string) (*driver.Attributes, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hangingBucket) ListPaged(ctx context.Context, _ *driver.ListOptions) (*driver.ListPage, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func hangingOver(t *testing.T, b *blob.Bucket) *blob.Bucket {
	t.Helper()
	hanging := blob.NewBucket(&hangingBucket{jobstest.FaultyBucket{Faults: &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1))}, B: b}})
	t.Cleanup(func() { _ = hanging.Close() })
	return hanging
}
