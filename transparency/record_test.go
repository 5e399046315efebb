package transparency

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob/memblob"
)

// events returns what is on record, as "kind object", and fails on two about one object.
func events(t testing.TB, s *auditstore.Store) (all []string) {
	t.Helper()
	for n := uint64(0); ; n++ {
		e, _, err := readEvent(t.Context(), s.Files(namespace, folder), namespace, n)
		if auditstore.IsLost(err) {
			return all
		}
		must(t, err)
		line := string(e.Kind) + " " + e.Object
		if slices.Contains(all, line) {
			t.Errorf("%q is on record twice", line)
		}
		all = append(all, line)
	}
}

func overrule(t testing.TB, s *auditstore.Store, epoch, number uint64) {
	t.Helper()
	must(t, s.PutOverruling(t.Context(), verdict.Overruling{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Number: number, By: "somebody", Reason: "a wrong key", At: time.Unix(1, 0).UTC(),
		Overruled: verdict.Overruled{Outcome: verdict.Rejected, SHA256: strings.Repeat("0", 64)}, Verdict: verdictOn(epoch),
	}))
}

// Each thing that comes on record becomes an event, once, and says what object it is about.
func TestRecord(t *testing.T) {
	t.Parallel()
	b := memblob.OpenBucket(nil)
	s := auditstore.New(b)
	r := NewRecorder(s, namespace, func(incident []byte) bool { return string(incident) != "lag" })
	var want []string
	expect := func(more ...string) {
		t.Helper()
		n, err := r.Record(t.Context())
		must(t, err)
		want = append(want, more...)
		if got := events(t, s); n != len(more) || !slices.Equal(got, want) {
			t.Errorf("%d events were written, on record are %q, want %q", n, got, want)
		}
	}
	expect()
	overrule(t, s, 1100, 1)
	overrule(t, s, 1100, 2)
	overrule(t, s, 5100, 1)
	expect("overruling overruled/000000001/000000001100-001.json", "overruling overruled/000000001/000000001100-002.json",
		"overruling overruled/000000005/000000005100-001.json")
	incidents := s.Incidents(namespace)
	must(t, incidents.Put(t.Context(), "rejected.7", []byte("rejected")))
	must(t, incidents.Put(t.Context(), "lag", []byte("lag")))
	expect("incident incidents/open/rejected.7.json")
	_, _, err := incidents.PutAcknowledgement(t.Context(), "rejected.7", []byte("seen"))
	must(t, err)
	expect("acknowledgement incidents/acknowledged/rejected.7.json")

	seal := func(shards ...uint64) {
		t.Helper()
		h, err := s.History(t.Context(), namespace)
		must(t, err)
		h.Spans = nil
		for _, shard := range shards {
			from, to := verdict.ShardRange(shard)
			h.Spans = append(h.Spans, verdict.SealedSpan{
				Span:  verdict.Span{From: from, To: to, PreviousDigest: strings.Repeat("a", 64), Digest: strings.Repeat("b", 64)},
				Seals: []string{fmt.Sprintf("%064x", shard)},
			})
		}
		_, err = s.PutHistory(t.Context(), h)
		must(t, err)
	}
	seal(3)
	expect("seal seals/000000003.json")
	seal(1, 3)
	expect("seal seals/000000001.json")

	l := begun(t, s)
	judge(t, s, first, first)
	for epoch := first + 1; epoch <= first+3; epoch++ {
		_, err := l.PutAbsence(t.Context(), epoch, "somebody", "it is gone", time.Unix(1, 0))
		must(t, err)
	}
	judge(t, s, first+1, first+1)
	advanced(t, l, 3) // the last absence is in no entry yet
	judge(t, s, first+2, first+3)
	expect("late_verdict verdicts/000000001/000000001003.json")
	advanced(t, l, 3)
	expect()

	e, _, err := readEvent(t.Context(), s.Files(namespace, folder), namespace, uint64(len(want)-1))
	must(t, err)
	data, err := s.VerdictBytes(t.Context(), namespace, first+2)
	must(t, err)
	if e.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) || *e.Epoch != first+2 {
		t.Errorf("the late verdict is recorded as %+v", e)
	}
	if c := advanced(t, Open(s, namespace, Events), 100); c.N != int64(len(want)) {
		t.Errorf("%d entries in the log of events, want %d", c.N, len(want))
	}
	if n, err := NewRecorder(s, namespace, nil).Record(t.Context()); err != nil || n != 1 {
		t.Errorf("another process records %d events, %v, want that of the condition that was left out", n, err)
	}
}

// When nothing is new, it costs a few requests.
func TestRecordReads(t *testing.T) {
	t.Parallel()
	p := &jobstest.ArchiveStore{Bucket: memblob.OpenBucket(nil)}
	p.Store = auditstore.New(p.Bucket)
	watched, store := p.Watched(t, jobstest.NoFault)
	for i := range 50 {
		overrule(t, p.Store, uint64(i)*verdict.EpochsPerShard+1, 1)
		must(t, p.Store.Incidents(namespace).Put(t.Context(), fmt.Sprint("rejected.", i), []byte("x")))
	}
	r := NewRecorder(store.Store, namespace, nil)
	for range 7 { // shards with overrulings are gone through some at a time
		_, err := r.Record(t.Context())
		must(t, err)
	}
	before := watched.Requests.Load()
	n, err := r.Record(t.Context())
	if got := watched.Requests.Load() - before; err != nil || n != 0 || got > 15 {
		t.Errorf("%d events, %v, with %d requests", n, err, got)
	}
	if got := len(events(t, p.Store)); got != 100 {
		t.Errorf("%d events are on record, want 100", got)
	}
}

// Of several processes each event is written by one, whatever goes wrong.
func TestRecordersAtOnce(t *testing.T) {
	t.Parallel()
	p := &jobstest.ArchiveStore{Bucket: memblob.OpenBucket(nil)}
	p.Store = auditstore.New(p.Bucket)
	const all = 60
	for i := range all {
		must(t, p.Store.Incidents(namespace).Put(t.Context(), fmt.Sprint("rejected.", i), []byte("x")))
	}
	var processes sync.WaitGroup
	for who := range 4 {
		_, store := p.Watched(t, func(n int64, request string) (error, bool) {
			if n%5 == int64(who) && strings.HasPrefix(request, "write") {
				return jobstest.ErrFault, n%2 == 0
			}
			return nil, false
		})
		processes.Go(func() {
			for r := NewRecorder(store.Store, namespace, nil); ; {
				if n, err := r.Record(context.WithoutCancel(t.Context())); err == nil && n == 0 {
					return
				}
			}
		})
	}
	processes.Wait()
	if got := len(events(t, p.Store)); got != all {
		t.Errorf("%d events are on record, want %d", got, all)
	}
}
