package evidence_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// Whatever hangs, and though nobody tells the job to stop, collecting ends, and says what it could
// not have where the store can be written.
func TestCollectingIsBounded(t *testing.T) {
	t.Parallel()
	w := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
	key := w.KeyOf(t, 2)
	concern := incident.Concern{
		Epoch: 2, Reason: verdict.MalformedProof, Detail: "for this test",
		Batches: []incident.Batch{{Epoch: 2, Key: key}, {Epoch: 1, Key: w.KeyOf(t, 1)}, {Epoch: 3, Key: w.KeyOf(t, 3)}},
	}
	never := func(string) bool { return false }
	always := func(string) bool { return true }
	for name, c := range map[string]struct {
		log, signatures, store func(call string) bool // which calls hang
		judge                  evidence.Judge
		unwritten              bool
	}{
		"nothing hangs":           {},
		"the log":                 {log: always},
		"the log's bytes":         {log: calls("read")},
		"the log's objects":       {log: calls("attributes")},
		"the signed digests":      {signatures: always},
		"the log and the digests": {log: always, signatures: always},
		"judging": {judge: func(ctx context.Context, _ incident.Batch, _ fetcher.Object) (evidence.Judged, string, error) {
			<-ctx.Done()
			return evidence.Judged{}, "", ctx.Err()
		}},
		"the audit store":              {store: always, unwritten: true},
		"the audit store, for writing": {store: calls("write"), unwritten: true},
		"the audit store, for batches": {store: calls("write " + jobstest.Namespace + "/evidence/000000000/000000000002/batch")},
		"everything":                   {log: always, signatures: always, store: always, unwritten: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, hangs := range []*func(string) bool{&c.log, &c.signatures, &c.store} {
					if *hangs == nil {
						*hangs = never
					}
				}
				kept := jobstest.OpenMemory(t)
				log, signed := copied(t, w.Log), copied(t, w.Signatures)
				collector := &evidence.Collector{
					Namespace: jobstest.Namespace, Fetcher: fetcher.New(hangingOver(t, log, c.log), fetcher.Options{}),
					Store: auditstore.New(hangingOver(t, kept, c.store)), Signatures: hangingOver(t, signed, c.signatures),
					MaxBatches: 4, MaxBytes: 1 << 20, Software: "ktaudit test", Log: zerolog.Nop(),
				}
				began := time.Now()
				collector.Collect(t.Context(), concern, evidence.Found{Judge: c.judge})
				if took := time.Since(began); took > evidence.Timeout {
					t.Errorf("it took %s, want at most %s", took, evidence.Timeout)
				}
				names, err := auditstore.New(kept).EvidenceNames(t.Context(), jobstest.Namespace, 2)
				if written := strings.Contains(strings.Join(names, " "), evidence.Kind+"-"); err != nil || written == c.unwritten {
					t.Errorf("there are %q, %v", names, err)
				}
			})
		})
	}
}

// calls are those that begin with a text: "read KEY", "write KEY", "attributes KEY" or "list
// PREFIX".
func calls(prefix string) func(string) bool {
	return func(call string) bool { return strings.HasPrefix(call, prefix) }
}

// copied is a bucket with the same objects, for a bubble of synctest.
func copied(t *testing.T, from *blob.Bucket) *blob.Bucket {
	t.Helper()
	to := jobstest.OpenMemory(t)
	for _, key := range jobstest.Keys(t, from) {
		data, err := from.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		jobstest.Must(t, to.WriteAll(t.Context(), key, data, nil))
	}
	return to
}

// hangingBucket is a bucket in memory that does not answer some calls.
type hangingBucket struct {
	*jobstest.WatchedStore
	memory *blob.Bucket
	hangs  func(call string) bool
}

func hangingOver(t *testing.T, memory *blob.Bucket, hangs func(string) bool) *blob.Bucket {
	t.Helper()
	watched, _ := (&jobstest.ArchiveStore{Bucket: memory}).Watched(t, jobstest.NoFault)
	hanging := blob.NewBucket(&hangingBucket{watched, memory, hangs})
	t.Cleanup(func() { _ = hanging.Close() })
	return hanging
}

func (h *hangingBucket) wait(ctx context.Context, call string) error {
	if h.hangs(call) {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (h *hangingBucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if err := h.wait(ctx, "attributes "+key); err != nil {
		return nil, err
	}
	a, err := h.memory.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{Size: a.Size, ModTime: a.ModTime, ETag: a.ETag}, nil
}

func (h *hangingBucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if err := h.wait(ctx, "list "+o.Prefix); err != nil {
		return nil, err
	}
	return h.WatchedStore.ListPaged(ctx, o)
}

func (h *hangingBucket) NewRangeReader(ctx context.Context, key string, from, n int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if err := h.wait(ctx, "read "+key); err != nil {
		return nil, err
	}
	return h.WatchedStore.NewRangeReader(ctx, key, from, n, o)
}

func (h *hangingBucket) NewTypedWriter(ctx context.Context, key, kind string, o *driver.WriterOptions) (driver.Writer, error) {
	if err := h.wait(ctx, "write "+key); err != nil {
		return nil, err
	}
	return h.WatchedStore.NewTypedWriter(ctx, key, kind, o)
}
