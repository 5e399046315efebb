package summary_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

var (
	start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	log   = summary.Log{Name: jobstest.Namespace, First: 1}
)

// huge puts a history of so many sealed shards on record, without their verdicts but for the last.
func huge(t testing.TB, store *auditstore.Store, shards int) (last uint64) {
	t.Helper()
	_, last = verdict.ShardRange(uint64(shards - 1))
	span := verdict.SealedSpan{Span: verdict.Span{From: 1, To: last, PreviousDigest: jobstest.DigestAfter(0), Digest: jobstest.DigestAfter(last)}}
	for range shards {
		span.Seals = append(span.Seals, strings.Repeat("0", 64))
	}
	_, err := store.PutHistory(t.Context(), verdict.History{Namespace: jobstest.Namespace, Spans: []verdict.SealedSpan{span}})
	jobstest.Must(t, err)
	jobstest.Verify(t, store, last)
	return last
}

// A round over two million verdicts costs a bounded number of requests, and the rounds of a minute
// no more than they promise, whatever is new.
func TestRequests(t *testing.T) {
	t.Parallel()
	memory := jobstest.NewArchiveStore(t)
	watched, store := memory.Watched(t, jobstest.NoFault)
	last := huge(t, memory.Store, 2027)
	jobstest.Verify(t, memory.Store, jobstest.Span(last+1, last+1200)...)
	r := summary.NewReader(store.Store, log)
	minutes := []int64{}
	for minute := range 3 {
		before := watched.Requests.Load()
		for round := range 6 {
			at := start.Add(time.Duration(minute)*time.Minute + time.Duration(round)*summary.Every)
			s, err := r.Round(t.Context(), at)
			jobstest.Must(t, err)
			if s.Status.Head != 0 && s.Status.Head < last {
				t.Errorf("head %d", s.Status.Head)
			}
		}
		minutes = append(minutes, watched.Requests.Load()-before)
	}
	// Once all is read, a round costs what it takes to see that nothing is new.
	if minutes[0] > summary.MaxRequests || minutes[0] < 1200 || minutes[2] > 500 {
		t.Errorf("requests in each minute: %v, promised are %d", minutes, summary.MaxRequests)
	}
	s, err := r.Round(t.Context(), start.Add(time.Hour))
	jobstest.Must(t, err)
	if s.Status.Head != last+1200 || s.Unread != 0 || s.Tiers[summary.Verified].Total() != last+1200 {
		t.Errorf("head %d, %d unread", s.Status.Head, s.Unread)
	}
}

// While verdicts on record were not read yet, a log is not good, and nothing is said of how far it is
// behind; and each of many shards that nobody seals is read in the end.
func TestStillReading(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, jobstest.Span(1, 1100)...)
	for shard := range uint64(8) {
		jobstest.Verify(t, store, 2000+shard*1000, 2001+shard*1000)
	}
	r := summary.NewReader(store, log)
	parts := 0
	for round := range 20 {
		s, err := r.Round(t.Context(), start.Add(time.Duration(round)*summary.Every))
		jobstest.Must(t, err)
		state, text := s.State(start)
		if !s.IsPart() {
			if s.Status.Head != 1100 || s.Judged.Total() != 1116 || s.Lag() != 16 || state == summary.Unread {
				t.Errorf("head %d, %d judged, %d behind, %s: %s", s.Status.Head, s.Judged.Total(), s.Lag(), state, text)
			}
			break
		}
		parts++
		if state != summary.Unread || !strings.Contains(text, "Still reading") {
			t.Errorf("round %d: %s: %s", round, state, text)
		}
	}
	if parts < 3 || parts == 20 {
		t.Errorf("%d rounds of parts", parts)
	}
}

// A summary says of a log what report.ReadStatus does.
func TestAsStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(t *testing.T, store *auditstore.Store)
	}{
		{"honest", func(t *testing.T, store *auditstore.Store) { jobstest.Verify(t, store, jobstest.Span(1, 30)...) }},
		{"gaps", func(t *testing.T, store *auditstore.Store) { jobstest.Verify(t, store, 1, 2, 3, 7, 8, 20, 1000, 1001) }},
		{"rejected", func(t *testing.T, store *auditstore.Store) {
			jobstest.Verify(t, store, 1, 2, 4, 5)
			jobstest.PutVerdict(t, store, 3, verdict.DigestMismatch)
		}},
		{"broken", func(t *testing.T, store *auditstore.Store) {
			jobstest.Verify(t, store, 1, 2, 4, 5)
			jobstest.Judge(t, store, 3, verdict.Verified, "", 77, 3)
		}},
		{"over a border of shards", func(t *testing.T, store *auditstore.Store) { jobstest.Verify(t, store, jobstest.Span(995, 1010)...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := auditstore.New(jobstest.OpenMemory(t))
			c.set(t, store)
			want, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 1, 0)
			jobstest.Must(t, err)
			s, err := summary.NewReader(store, log).Round(t.Context(), start)
			jobstest.Must(t, err)
			got := s.Status
			if got.Head != want.Head || got.VerifiedCount != want.VerifiedCount || got.RejectedCount != want.RejectedCount ||
				fmt.Sprint(got.Verified) != fmt.Sprint(want.Verified) || fmt.Sprint(got.Gaps) != fmt.Sprint(want.Gaps) || len(got.Breaks) != len(want.Breaks) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// The numbers of a shard are kept in the audit store, and so a restart need not read its verdicts.
func TestNumbersAreKept(t *testing.T) {
	t.Parallel()
	memory := jobstest.NewArchiveStore(t)
	for epoch := uint64(1); epoch <= 999; epoch++ {
		v := jobstest.GoodVerdict(epoch)
		v.Inserted, v.Batch.Bytes, v.Batch.StoredBytes, v.FinishedAt = 3, 1000, 500, start.Add(time.Duration(epoch)*time.Second)
		memory.Judge(t, v)
	}
	round := func(store *auditstore.Store) *summary.Summary {
		r := summary.NewReader(store, log)
		s, err := r.Round(t.Context(), start)
		jobstest.Must(t, err)
		return s
	}
	want := summary.Point{
		From: 1, To: 999, Epochs: 999, Inserted: 2997, Bytes: 999_000, StoredBytes: 499_500, MaxBytes: 1000,
		FirstAt: start.Add(time.Second), LastAt: start.Add(999 * time.Second),
	}
	first := round(memory.Store)
	if len(first.Points) != 1 || first.Points[0] != want {
		t.Errorf("%+v", first.Points)
	}
	span := verdict.SealedSpan{
		Span:  verdict.Span{From: 1, To: 999, PreviousDigest: jobstest.DigestAfter(0), Digest: jobstest.DigestAfter(999)},
		Seals: []string{strings.Repeat("0", 64)},
	}
	_, err := memory.Store.PutHistory(t.Context(), verdict.History{Namespace: jobstest.Namespace, Spans: []verdict.SealedSpan{span}})
	jobstest.Must(t, err)
	var reads atomic.Int64
	_, restarted := memory.Watched(t, func(_ int64, request string) (error, bool) {
		if strings.HasPrefix(request, "read "+jobstest.Namespace+"/verdicts/") {
			reads.Add(1)
		}
		return nil, false
	})
	if again := round(restarted.Store); len(again.Points) != 1 || again.Points[0] != want || reads.Load() > 60 {
		t.Errorf("%+v, with %d verdicts read", again.Points, reads.Load())
	}
	// One that is damaged counts for nothing.
	key := jobstest.Namespace + "/page/000000000.json"
	jobstest.Edit(t, memory.Bucket, key, `"epochs":999`, `"epochs":998`)
	if damaged := round(memory.Store); len(damaged.Points) != 0 {
		t.Errorf("%+v", damaged.Points)
	}
}

// A fault fails a round, which the next one makes good; a verdict that is damaged hides no other.
func TestFaults(t *testing.T) {
	t.Parallel()
	memory := jobstest.NewArchiveStore(t)
	jobstest.Verify(t, memory.Store, jobstest.Span(1, 10)...)
	down := true
	_, store := memory.Watched(t, func(_ int64, request string) (error, bool) {
		if down && strings.HasPrefix(request, "list ") {
			return jobstest.ErrFault, false
		}
		return nil, false
	})
	r := summary.NewReader(store.Store, log)
	if _, err := r.Round(t.Context(), start); !errors.Is(err, jobstest.ErrFault) {
		t.Errorf("%v", err)
	}
	down = false
	jobstest.Must(t, memory.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/verdicts/000000000/000000000006.json", []byte("{"), nil))
	s, err := r.Round(t.Context(), start.Add(summary.Every))
	jobstest.Must(t, err)
	if state, text := s.State(start); s.Status.Head != 5 || !slices.Equal(s.Unreadable, []uint64{6}) || state != summary.Warning {
		t.Errorf("head %d, unreadable %v, %s: %s", s.Status.Head, s.Unreadable, state, text)
	}
}

// Ranges count what lies in a range as counting one by one does.
func TestRanges(t *testing.T) {
	t.Parallel()
	all := []epochset.Range{{From: 2, To: 4}, {From: 8, To: 8}, {From: 10, To: 20}}
	r := summary.NewRanges(all)
	for from := uint64(1); from < 25; from++ {
		for to := from - 1; to < 25; to++ {
			n := uint64(0)
			for epoch := from; epoch <= to; epoch++ {
				for _, one := range all {
					if one.From <= epoch && epoch <= one.To {
						n++
					}
				}
			}
			if got := r.Count(from, to); got != n {
				t.Errorf("%d to %d: %d, want %d", from, to, got, n)
			}
		}
	}
	if union := summary.Union(all, []epochset.Range{{From: 5, To: 6}, {From: 1, To: 2}, {From: 19, To: 30}}); fmt.Sprint(union) != "[{1 6} {8 8} {10 30}]" {
		t.Errorf("%v", union)
	}
}
