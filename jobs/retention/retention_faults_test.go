package retention

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// layHistory lays a small history over two shards, of which the returned batches may go after a
// month.
func layHistory(t testing.TB, s *jobstest.ArchiveStore) (stay []string) {
	s.Verified(t, jobstest.Span(995, 1004)...)
	jobstest.Must(t, s.Store.PutEvidence(t.Context(), jobstest.Namespace, 998, "e.json", []byte("{}")))
	return []string{"995", "998", "1004"}
}

// Whatever request goes wrong, in either way, nothing goes that should stay, and the next passes do
// the rest.
func TestRetentionSurvivesFaults(t *testing.T) {
	t.Parallel()
	for _, carriedOut := range []bool{false, true} {
		for at := int64(1); ; at++ {
			reached := false
			synctest.Test(t, func(t *testing.T) {
				s := jobstest.NewArchiveStore(t)
				stay := layHistory(t, s)
				w, faulty := s.Watched(t, func(n int64, _ string) (error, bool) {
					if n == at {
						reached = true
						return jobstest.ErrFault, carriedOut
					}
					return nil, false
				})
				kept, r := s.Kept(t), retentionOf(faulty, zerolog.Nop())
				time.Sleep(31 * day)
				_, err := r.pass(t.Context())
				if reached != (err != nil) {
					t.Errorf("request %d went wrong: %v; the pass says %v", at, reached, err)
				}
				w.Fault = jobstest.NoFault
				// what was left of asking for the time is removed after an hour
				time.Sleep(2 * time.Hour)
				mustPass(t, r)
				if got := s.Archived(t); !slices.Equal(got, stay) {
					t.Errorf("request %d (carried out: %v): left are %v, want %v", at, carriedOut, got, stay)
				}
				if now := s.Kept(t); !maps.Equal(now, kept) {
					delete(now, ".ktaudit/write-once")
					if !maps.Equal(now, kept) {
						t.Errorf("request %d: something else than archived batches changed", at)
					}
				}
			})
			if !reached {
				if at < 20 {
					t.Errorf("only %d requests were made", at-1)
				}
				break
			}
		}
	}
}

// A batch that cannot be removed, such as one that somebody has locked, does not keep the others.
func TestRetentionPassesOverWhatIsLocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		s.Verified(t, jobstest.Span(1, 9)...)
		_, locked := s.Watched(t, func(_ int64, request string) (error, bool) {
			if strings.HasPrefix(request, "remove ") && strings.HasSuffix(request, "/000000000004") {
				return jobstest.ErrFault, false
			}
			return nil, false
		})
		var output bytes.Buffer
		r := retentionOf(locked, zerolog.New(&output))
		time.Sleep(31 * day)
		if _, err := r.pass(t.Context()); err == nil || !strings.Contains(err.Error(), "1 of 8") {
			t.Errorf("error is %v, want one on the locked one", err)
		}
		if got := s.Archived(t); !slices.Equal(got, []string{"4", "9"}) {
			t.Errorf("left are %v, want the locked one and the newest", got)
		}
		if want := `"batches":7,"bytes":140,"oldest":1,"newest":8,"message":"archived batches removed"`; !strings.Contains(output.String(), want) {
			t.Errorf("the log has %s, want %s", output.String(), want)
		}
	})
}

// A shard that cannot be looked at comes last the next time.
func TestRetentionGoesOnAfterAShardThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		for _, shard := range []uint64{0, 1, 2} {
			s.Verified(t, 1000*shard+1, 1000*shard+2, 1000*shard+3)
		}
		_, failing := s.Watched(t, func(_ int64, request string) (error, bool) {
			return map[bool]error{true: jobstest.ErrFault}[strings.HasSuffix(request, "/archive/000000001/")], false
		})
		r := retentionOf(failing, zerolog.Nop())
		time.Sleep(31 * day)
		for _, want := range [][]string{{"3", "1001", "1002", "1003", "2001", "2002", "2003"}, {"3", "1001", "1002", "1003", "2001", "2003"}} {
			if _, err := r.pass(t.Context()); !errors.Is(err, jobstest.ErrFault) && err != nil {
				t.Error(err)
			}
			if got := s.Archived(t); !slices.Equal(got, want) {
				t.Errorf("left are %v, want %v", got, want)
			}
			time.Sleep(passPause)
		}
	})
}

// After any passes, at any times, two at once and with any faults: what was removed had every right
// to be, and nothing else changed.
func TestRetentionOfChanceHistories(t *testing.T) {
	t.Parallel()
	removed := 0
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			s := jobstest.NewArchiveStore(t)
			_, faulty := s.Watched(t, func(int64, string) (error, bool) {
				mu.Lock()
				defer mu.Unlock()
				if chance.Float64() < 0.02 {
					return jobstest.ErrFault, chance.IntN(2) == 0
				}
				return nil, false
			})
			one, two := retentionOf(faulty, zerolog.Nop()), retentionOf(faulty, zerolog.Nop())
			good, since := map[uint64]bool{}, map[uint64]time.Time{}
			epoch, head := uint64(990), uint64(990)
			for range 60 {
				for range chance.IntN(3) {
					head++
					s.Archive(t, head, "", jobstest.BatchOf(head))
					since[head] = time.Now()
				}
				for range chance.IntN(4) {
					if epoch = epoch + 1; epoch > head {
						epoch = head
						break
					}
					v := jobstest.GoodVerdict(epoch)
					if good[epoch] = chance.IntN(10) > 0; !good[epoch] {
						v.Outcome, v.Reason = verdict.Rejected, "malformed_proof"
					}
					s.Judge(t, v)
					if chance.IntN(10) == 0 {
						good[epoch] = false
						jobstest.Must(t, s.Store.PutEvidence(t.Context(), jobstest.Namespace, epoch, "e.json", []byte("{}")))
					}
				}
				time.Sleep(time.Duration(chance.Int64N(int64(3 * day))))
				before, kept := s.Archived(t), s.Kept(t)
				var both sync.WaitGroup
				for _, r := range []*Remover{one, two} {
					both.Go(func() { _, _ = r.pass(t.Context()) })
				}
				both.Wait()
				left := s.Archived(t)
				for _, name := range before {
					e, err := strconv.ParseUint(name, 10, 64)
					if err != nil || slices.Contains(left, name) {
						continue // it is left, or from asking for the time
					}
					removed++
					if !good[e] || time.Since(since[e]) < 30*day {
						t.Errorf("seed %d: the batch of epoch %d is gone: good %v, archived %s ago", seed, e, good[e], time.Since(since[e]))
					}
				}
				now := s.Kept(t)
				delete(now, ".ktaudit/write-once")
				delete(kept, ".ktaudit/write-once")
				if !maps.Equal(now, kept) {
					t.Fatalf("seed %d: something else than archived batches changed", seed)
				}
			}
		})
	}
	if removed < 100 {
		t.Errorf("only %d batches were removed", removed)
	}
}

// A pass that finds nothing due costs one listing, and there is a bound on what one does.
func TestRetentionCosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		s.Verified(t, jobstest.Span(1, maxChecksPerPass+1500)...)
		w, watched := s.Watched(t, jobstest.NoFault)
		r := retentionOf(watched, zerolog.Nop())
		mustPass(t, r) // looks at all shards
		for range 10 {
			before := w.Requests.Load()
			mustPass(t, r)
			if n := w.Requests.Load() - before; n != 1 {
				t.Errorf("nothing is due: %d requests", n)
			}
			time.Sleep(2 * day)
		}
		time.Sleep(11 * day)
		before := w.Requests.Load()
		if more, err := r.pass(t.Context()); err != nil || !more {
			t.Errorf("the first pass: %v, %v", more, err)
		}
		if n := w.Removals.Load(); n < maxChecksPerPass || n > maxChecksPerPass+1000 {
			t.Errorf("it removed %d", n)
		}
		if n := w.Requests.Load() - before - 2*w.Removals.Load(); n > 20 {
			t.Errorf("%d requests beside a verdict and a removal each", n)
		}
		mustPass(t, r)
		mustPass(t, r) // sees that a shard is gone
		if got := s.Archived(t); len(got) != 1 || len(r.nextCheck) != 1 {
			t.Errorf("left are %d, and %d shards are remembered", len(got), len(r.nextCheck))
		}
	})
}

func TestRetentionWaitsForTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := jobstest.NewArchiveStore(t)
		s.Verified(t, 1, 2)
		time.Sleep(31 * day)
		var output bytes.Buffer
		r := retentionOf(s, zerolog.New(&output))
		r.ClockGrace = clockGrace
		want := func(left ...string) {
			t.Helper()
			mustPass(t, r)
			if got := s.Archived(t); !slices.Equal(got, left) {
				t.Errorf("left are %v, want %v", got, left)
			}
		}
		want("1", "2")
		time.Sleep(clockGrace - time.Second)
		want("1", "2")
		r.clock.shown = r.clock.shown.Add(-10 * 365 * day) // as if it had jumped ahead by ten years
		want("1", "2")
		if !strings.Contains(output.String(), `"by":"87600h0m0s"`) {
			t.Errorf("the log has %s", output.String())
		}
		time.Sleep(clockGrace - time.Second)
		want("1", "2")
		time.Sleep(time.Second)
		want("2")
	})
}
