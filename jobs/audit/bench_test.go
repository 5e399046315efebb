package audit

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// BenchmarkEnqueue enqueues b.N epochs on a real Redis.
func BenchmarkEnqueue(b *testing.B) {
	r, err := queue.Connect(b.Context(), testservers.Redis(b).URL(), zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	e := &queue.Enqueuer{Redis: r, Namespace: "whatsapp.key-transparency.v1"}
	b.ResetTimer()
	if _, err := e.Enqueue(b.Context(), 1, uint64(b.N), nil); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAudit audits b.N small epochs, four at a time, with log and audit store on local disk.
func BenchmarkAudit(b *testing.B) {
	folder := b.TempDir()
	log, err := blobstore.OpenBucket(b.Context(), "file://"+filepath.Join(folder, "log")+"?create_dir=true")
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	store, err := auditstore.Open(b.Context(), "file://"+filepath.Join(folder, "audit")+"?create_dir=true")
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	if _, err := simlog.Write(b.Context(), log, nil, simlog.Options{Namespace: jobstest.Namespace, Epochs: uint64(b.N)}, nil); err != nil {
		b.Fatal(err)
	}
	w := worldOf(jobstest.WorldIn(b, log, nil, store))
	w.config.Keys, w.config.Signatures = signature.Keys{}, nil
	auditor := w.auditor(b)
	var next atomic.Uint64
	var workers sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range 4 {
		workers.Go(func() {
			for epoch := next.Add(1); epoch <= uint64(b.N); epoch = next.Add(1) {
				if v, err := auditor.Audit(b.Context(), epoch); err != nil || v.Outcome != verdict.Verified {
					b.Errorf("epoch %d: %s, %v", epoch, v.Outcome, err)
				}
			}
		})
	}
	workers.Wait()
}
