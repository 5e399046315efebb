package frontier

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// log is a log directory that is made up as it is asked.
type log struct {
	driver.Bucket // what is only listed has no use for it
	has           func(epoch uint64) bool
	at            func(epoch uint64) time.Time // when it was published
	fails         func(epoch uint64) bool
	cached        func(epoch uint64) bool // a content network keeps the answer
	asked         []uint64
}

func (l *log) As(any) bool                        { return false }
func (l *log) Close() error                       { return nil }
func (l *log) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.PermissionDenied } // not tried again
func (l *log) ErrorAs(error, any) bool            { return false }
func digestOf(epoch uint64) (d [32]byte)          { return sha256.Sum256(strconv.AppendUint(nil, epoch, 10)) }
func key(epoch uint64) string {
	return fmt.Sprintf("%d/%x/%x", epoch, digestOf(epoch-1), digestOf(epoch))
}
func upTo(n uint64) func(uint64) bool              { return func(epoch uint64) bool { return epoch <= n } }
func published(t time.Time) func(uint64) time.Time { return func(uint64) time.Time { return t } }
func (l *log) frontier(t testing.TB, c Config) *Frontier {
	return l.frontierWith(t, c, jobstest.NewArchiveStore(t).Store)
}

func (l *log) ListPaged(_ context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	epoch, err := strconv.ParseUint(strings.TrimSuffix(o.Prefix, "/"), 10, 64)
	if err != nil {
		return nil, err
	}
	l.asked = append(l.asked, epoch)
	if l.cached != nil && l.cached(epoch) {
		_ = o.BeforeList(func(as any) bool {
			freshness, ok := as.(*s3list.Freshness)
			if ok {
				freshness.Cached = true
			}
			return ok
		})
	}
	if l.fails != nil && l.fails(epoch) {
		return nil, errors.New("the network is down")
	}
	if !l.has(epoch) {
		return &driver.ListPage{}, nil
	}
	return &driver.ListPage{Objects: []*driver.ListObject{{Key: key(epoch), Size: 1, ModTime: l.at(epoch)}}}, nil
}

func (l *log) frontierWith(t testing.TB, c Config, store *auditstore.Store) *Frontier {
	t.Helper()
	b := blob.NewBucket(l)
	t.Cleanup(func() { _ = b.Close() })
	c.Namespace, c.Store, c.Log = jobstest.Namespace, store, fetcher.New(b, fetcher.Options{})
	c.First = max(c.First, 1)
	if c.Poll == 0 {
		c.Poll = 30 * time.Second
	}
	return New(c)
}

func mustAdvance(t testing.TB, f *Frontier, now time.Time) {
	t.Helper()
	if err := f.Advance(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

var start = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// paced is a log that has published an epoch each so often, the last one at a time.
func paced(last uint64, at time.Time, each time.Duration) func(uint64) time.Time {
	return func(epoch uint64) time.Time { return at.Add(-each * time.Duration(int64(last)-int64(epoch))) }
}

// A history is caught up with in few requests, wherever it begins and ends.
func TestCatchUpTakesFewRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		first, last uint64
		published   uint64
		maxRequests int
	}{
		{"one epoch", 1, 0, 1, 20},
		{"some", 1, 0, 100, 50},
		{"five thousand", 1, 0, 5000, 75},
		{"WhatsApp's second log", 722_606, 0, 1_216_291, 100},
		{"1.2 million", 1, 0, 1_200_000, 100},
		{"a closed log of two million", 1, 2_026_881, 2_026_881, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range 50 {
				l := &log{has: upTo(c.published), at: paced(c.published, start, 30*time.Second)}
				f := l.frontier(t, Config{First: c.first, Last: c.last})
				mustAdvance(t, f, start.Add(10*time.Second))
				if f.Chained() != c.published || f.Newest() != c.published {
					t.Fatalf("chain to %d, newest %d", f.Chained(), f.Newest())
				}
				if len(l.asked) > c.maxRequests {
					t.Errorf("%d requests, want at most %d", len(l.asked), c.maxRequests)
				}
			}
		})
	}
}

// At its usual pace a log is asked for nothing but what may be there: what comes next.
func TestNothingIsAskedForAhead(t *testing.T) {
	t.Parallel()
	newest := uint64(1000)
	l := &log{has: func(epoch uint64) bool { return epoch <= newest }, at: paced(1000, start, 30*time.Second)}
	f := l.frontier(t, Config{})
	now := start
	mustAdvance(t, f, now)
	for range 200 {
		now = now.Add(10 * time.Second)
		newest = 1000 + uint64(now.Sub(start)/(30*time.Second))
		l.asked = nil
		mustAdvance(t, f, now)
		if f.Chained() != newest {
			t.Fatalf("chain to %d, want %d", f.Chained(), newest)
		}
		for _, epoch := range l.asked {
			if epoch > newest+1 && epoch <= newest+gapReach {
				t.Errorf("epoch %d is asked for while %d is the newest", epoch, newest)
			}
		}
	}
	if got := f.Cadence(); got < 29*time.Second || got > 31*time.Second {
		t.Errorf("the cadence is measured as %s", got)
	}
}

// Objects at doubling distances neither move the frontier nor hide what comes next, whether the log
// stands still or goes on.
func TestHostileJunkAtDoublingDistances(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		honest := 20 + seed%7
		goesOn := honest
		l := &log{at: paced(honest, start, 30*time.Second), has: func(epoch uint64) bool {
			far := epoch > honest && (epoch-honest)&(epoch-honest-1) == 0 && epoch-honest > 1 || epoch&(epoch-1) == 0
			return epoch <= goesOn || far && epoch < 1<<39
		}}
		f := l.frontier(t, Config{})
		now := start.Add(time.Duration(seed%2) * time.Hour)
		mustAdvance(t, f, now)
		if f.Chained() > honest+2 || f.Newest() > honest+2+slack {
			t.Fatalf("chain to %d, newest %d, want %d", f.Chained(), f.Newest(), honest)
		}
		if seed%2 == 1 && f.Beyond() == 0 {
			t.Error("what is far ahead is not reported")
		}
		for range 100 {
			now, goesOn = now.Add(30*time.Second), goesOn+1
			l.asked = nil
			mustAdvance(t, f, now)
			if f.Chained() < goesOn || f.Newest() > goesOn+2*slack {
				t.Fatalf("chain to %d, newest %d, the log is at %d", f.Chained(), f.Newest(), goesOn)
			}
			if len(l.asked) > 60 {
				t.Errorf("%d requests", len(l.asked))
			}
		}
	}
}

// While a log stands still, junk ahead moves what is followed no faster than the log would, and
// what comes next is looked for all the same.
func TestHostileJunkAheadOfASilentLog(t *testing.T) {
	t.Parallel()
	l := &log{has: func(epoch uint64) bool { return epoch <= 50 || epoch%2 == 0 }, at: paced(50, start, 30*time.Second)}
	f := l.frontier(t, Config{})
	now := start
	mustAdvance(t, f, now)
	for range 600 {
		now = now.Add(10 * time.Second)
		l.asked = nil
		mustAdvance(t, f, now)
		if f.Chained() != 50 || l.asked[0] != 51 {
			t.Fatalf("chain to %d, asked for %d first", f.Chained(), l.asked[0])
		}
		if limit := 50 + slack + uint64(now.Sub(start)/(30*time.Second)); f.Newest() > limit {
			t.Fatalf("newest %d after %s, want at most %d", f.Newest(), now.Sub(start), limit)
		}
	}
	if !f.IsInGap(51) || f.IsInGap(50) {
		t.Error("what is missing is not told apart")
	}
	l.has = upTo(300)
	mustAdvance(t, f, now)
	if f.Chained() != 300 {
		t.Errorf("chain to %d, want 300", f.Chained())
	}
}

// A server that has a listing for every epoch is followed to the end of what a log may have, in few
// requests. Whatever it lists is to be audited.
func TestHostileServerThatListsEverything(t *testing.T) {
	t.Parallel()
	l := &log{has: func(uint64) bool { return true }, at: published(start)}
	f := l.frontier(t, Config{})
	for range 3 {
		mustAdvance(t, f, start)
		if f.Chained() != 1+longest || f.Newest() != 1+longest {
			t.Errorf("chain to %d, newest %d", f.Chained(), f.Newest())
		}
	}
	if len(l.asked) > 200 {
		t.Errorf("%d requests", len(l.asked))
	}
}

// Two epochs that continue each other, or twenty, far ahead are no log.
func TestHostileFarIsland(t *testing.T) {
	t.Parallel()
	for _, size := range []uint64{1, 2, 20} {
		for _, at := range []uint64{128, 512, 65_536, 1 << 20} {
			l := &log{has: func(epoch uint64) bool { return epoch <= 40 || 40+at <= epoch && epoch < 40+at+size }, at: published(start)}
			f := l.frontier(t, Config{})
			now := start.Add(24 * time.Hour)
			for range 3 * farPeriod {
				mustAdvance(t, f, now)
				now = now.Add(30 * time.Second)
				if f.Chained() != 40 || f.Newest() != 40 {
					t.Fatalf("%d epochs %d ahead: chain to %d, newest %d", size, at, f.Chained(), f.Newest())
				}
			}
			if at > gapReach && f.Beyond() != 40+at {
				t.Errorf("%d epochs %d ahead: reported is %d", size, at, f.Beyond())
			}
		}
	}
}

// What a log left out is passed: at once if much is behind it, and else when the log had the time.
func TestGapsArePassed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		missing func(epoch uint64) bool
		newest  uint64
		chained uint64
	}{
		{"one", func(e uint64) bool { return e == 50 }, 60, 60},
		{"one, and one behind it", func(e uint64) bool { return e == 50 }, 51, 49},
		{"six", func(e uint64) bool { return e >= 50 && e < 56 }, 58, 49},
		{"three hundred of a thousand", func(e uint64) bool { return e > 30 && e <= 330 }, 1000, 1000},
		{"the beginning", func(e uint64) bool { return e < 89_395 }, 625_510, 625_510},
		{"a million of three", func(e uint64) bool { return e > 1000 && e < 1_000_000 }, 3_000_000, 3_000_000},
		{"several", func(e uint64) bool { return e%1000 == 0 }, 4500, 4500},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := &log{has: func(e uint64) bool { return e <= c.newest && !c.missing(e) }, at: published(start)}
			f := l.frontier(t, Config{})
			mustAdvance(t, f, start.Add(time.Hour))
			if f.Newest() != c.newest || f.Chained() != c.chained && f.Chained() != c.newest { // by chance, few are not noticed
				t.Errorf("chain to %d, newest %d, want %d and %d", f.Chained(), f.Newest(), c.chained, c.newest)
			}
			if len(l.asked) > 300 {
				t.Errorf("%d requests", len(l.asked))
			}
			if f.Beyond() != 0 {
				t.Errorf("%d is reported as too far", f.Beyond())
			}
		})
	}
	t.Run("the last but one of a closed log", func(t *testing.T) {
		t.Parallel()
		l := &log{has: func(e uint64) bool { return e != 9 && e <= 10 }, at: published(start)}
		f := l.frontier(t, Config{Last: 10})
		mustAdvance(t, f, start.Add(time.Hour))
		if f.Chained() != 10 {
			t.Errorf("chain to %d, want 10", f.Chained())
		}
	})
	t.Run("a hundred, in time", func(t *testing.T) {
		t.Parallel()
		l := &log{has: func(e uint64) bool { return e <= 50 || e > 150 && e < 190 }, at: published(start)}
		f := l.frontier(t, Config{Cadence: 30 * time.Second})
		now := start
		for f.Newest() != 189 && now.Sub(start) < 2*time.Hour {
			mustAdvance(t, f, now)
			now = now.Add(30 * time.Second)
		}
		if took := now.Sub(start); f.Newest() != 189 || took < 45*time.Minute || took > 75*time.Minute {
			t.Errorf("newest is %d after %s", f.Newest(), took)
		}
	})
}

// What only a cache says to be missing is not passed over.
func TestHostileCachedAbsence(t *testing.T) {
	t.Parallel()
	l := &log{has: upTo(20), at: published(start), cached: func(e uint64) bool { return e == 21 }}
	f := l.frontier(t, Config{})
	now := start.Add(time.Hour)
	mustAdvance(t, f, now)
	l.has = func(e uint64) bool { return e != 21 && e <= 60 }
	for range 50 {
		mustAdvance(t, f, now)
		now = now.Add(30 * time.Second)
		if f.Chained() != 20 || f.Newest() != 20 {
			t.Fatalf("chain to %d, newest %d, want 20", f.Chained(), f.Newest())
		}
		if !f.IsStale() {
			t.Error("it is not told that this was out of a cache")
		}
	}
	l.cached = nil
	mustAdvance(t, f, now)
	if f.Chained() != 60 {
		t.Errorf("chain to %d, want 60", f.Chained())
	}
}

// The search goes on from the verdicts on record, but none of them alone moves it.
func TestStart(t *testing.T) {
	t.Parallel()
	span := jobstest.Span
	for _, c := range []struct {
		name              string
		judged, rejected  []uint64
		published, pruned uint64 // the log lists the epochs in between
		want              uint64
		maxRequests       int
	}{
		{"nothing on record", nil, nil, 30, 0, 30, 60},
		{"all on record", span(1, 30), nil, 30, 0, 30, 20},
		{"some more published", span(1, 2500), nil, 3000, 0, 3000, 60},
		{"only the newest on record", span(1990, 2000), nil, 2000, 0, 2000, 30},
		{"what is on record is listed no more", span(1, 2000), nil, 2000, 1500, 2000, 30},
		{"one far away rejected", span(1, 30), []uint64{500_000_000_000}, 30, 0, 30, 80},
		{"some next to it rejected", span(1, 30), []uint64{32, 34, 38, 46, 62, 94, 158, 286, 542, 1054}, 30, 0, 30, 80},
		{"two far away in a row rejected", span(1, 30), []uint64{700_000, 700_001}, 30, 0, 30, 80},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := jobstest.NewArchiveStore(t).Store
			jobstest.Verify(t, store, c.judged...)
			for _, epoch := range c.rejected {
				jobstest.Judge(t, store, epoch, verdict.Rejected, "malformed_proof", epoch-1, epoch)
			}
			l := &log{has: func(e uint64) bool { return e > c.pruned && e <= c.published }, at: paced(c.published, start, 30*time.Second)}
			f := l.frontierWith(t, Config{}, store)
			mustAdvance(t, f, start)
			if f.Chained() != c.want || f.Newest() != c.want {
				t.Errorf("chain to %d, newest %d, want %d", f.Chained(), f.Newest(), c.want)
			}
			if len(l.asked) > c.maxRequests {
				t.Errorf("%d requests, want at most %d", len(l.asked), c.maxRequests)
			}
		})
	}
}

// A search that fails keeps what it has found, and goes on from there.
func TestSearchThatFails(t *testing.T) {
	t.Parallel()
	l := &log{has: upTo(100_000), at: published(start), fails: func(e uint64) bool { return e > 5000 }}
	f := l.frontier(t, Config{})
	if err := f.Advance(t.Context(), start); err == nil {
		t.Error("no error")
	}
	if f.Chained() < walked || f.Chained() > 5000 {
		t.Errorf("chain to %d", f.Chained())
	}
	l.fails = nil
	mustAdvance(t, f, start)
	if f.Chained() != 100_000 {
		t.Errorf("chain to %d", f.Chained())
	}
}
