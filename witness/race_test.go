package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
)

// turns lets replicas make their requests to the audit store one at a time, in an order that a test
// gives.
type turns struct {
	arrived, grant [2]chan struct{}
	ended          [2]bool
}

// replica is a witness of its own over a shared store, whose requests wait for their turn.
func (u *turns) replica(t *testing.T, shared *jobstest.ArchiveStore, i int, clock func() time.Time, l *tlogtest.Log) *Witness {
	t.Helper()
	u.arrived[i], u.grant[i] = make(chan struct{}), make(chan struct{})
	_, watched := shared.Watched(t, func(_ int64, request string) (error, bool) {
		if strings.Contains(request, "/witness/") {
			u.arrived[i] <- struct{}{}
			<-u.grant[i]
		}
		return nil, false
	})
	w, err := New(watched.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
	if err != nil {
		t.Fatal(err)
	}
	w.now = clock
	return w
}

// run runs both replicas by a schedule: bit n says whose turn the n-th request is.
func (u *turns) run(schedule uint, adds [2]func()) {
	u.ended = [2]bool{}
	done := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	for i, add := range adds {
		go func() { add(); close(done[i]) }()
	}
	wait := func(i int) {
		select {
		case <-u.arrived[i]:
		case <-done[i]:
			u.ended[i] = true
		}
	}
	wait(0)
	wait(1)
	for ; !u.ended[0] || !u.ended[1]; schedule >>= 1 {
		i := int(schedule & 1)
		if u.ended[i] {
			i = 1 - i
		}
		u.grant[i] <- struct{}{}
		wait(i)
	}
}

// given is a cosignature that was given.
type given struct {
	log  *tlogtest.Log
	size int64
	at   int64 // by a clock that counts readings
}

// checkHistory returns what is wrong with cosignatures: two of them that are not of one history, or
// one of a smaller tree after one of a larger.
func checkHistory(all []given) error {
	slices.SortFunc(all, func(a, b given) int { return int(a.at - b.at) })
	for i, later := range all {
		for _, earlier := range all[:i] {
			if earlier.size > later.size {
				return fmt.Errorf("%d entries at %d, after %d at %d", later.size, later.at, earlier.size, earlier.at)
			}
			if later.log.Tree(earlier.size) != earlier.log.Tree(earlier.size) {
				return fmt.Errorf("two histories of %d entries", earlier.size)
			}
		}
	}
	return nil
}

// TestAllInterleavings runs two requests to two replicas with their requests to the audit store in
// every order.
func TestAllInterleavings(t *testing.T) {
	t.Parallel()
	base := func() *tlogtest.Log { return tlogtest.New("log.example").Grow(3, "entry ") }
	honest, fork := base().Grow(9, "entry "), base().Grow(9, "other ")
	for _, c := range []struct {
		name    string
		old     int64
		logs    [2]*tlogtest.Log
		sizes   [2]int64
		answers map[string]bool // that occur, and no others
	}{
		{"a fork", 3, [2]*tlogtest.Log{honest, fork}, [2]int64{5, 6}, map[string]bool{"cosigned, 409": true, "409, cosigned": true}},
		{"a fork of the first tree", 0, [2]*tlogtest.Log{honest, fork}, [2]int64{5, 6}, map[string]bool{"cosigned, 409": true, "409, cosigned": true}},
		{"one history", 3, [2]*tlogtest.Log{honest, honest}, [2]int64{5, 7}, map[string]bool{"cosigned, 409": true, "409, cosigned": true}},
		{"the same", 3, [2]*tlogtest.Log{honest, honest}, [2]int64{5, 5}, map[string]bool{"cosigned, cosigned": true, "cosigned, 409": true, "409, cosigned": true}},
		{"the old one again, and the next", 3, [2]*tlogtest.Log{honest, honest}, [2]int64{3, 7}, map[string]bool{"cosigned, cosigned": true, "409, cosigned": true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			first := requestFor(honest, 0, c.old)
			requests := [2][]byte{requestFor(c.logs[0], c.old, c.sizes[0]), requestFor(c.logs[1], c.old, c.sizes[1])}
			for schedule := range uint(1 << 8) {
				if bits.OnesCount(schedule) != 4 {
					continue // neither makes more than four requests: it runs as another one
				}
				shared := jobstest.NewArchiveStore(t)
				var ticks atomic.Int64
				clock := func() time.Time { return time.Unix(ticks.Add(1), 0) }
				var all []given
				var mu sync.Mutex
				add := func(ctx context.Context, w *Witness, request []byte, l *tlogtest.Log, size int64) string {
					line, err := w.Add(ctx, request)
					if conflict := (*ConflictError)(nil); errors.As(err, &conflict) {
						return "409"
					}
					if err != nil {
						return err.Error()
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, given{l, size, timeOf(t, line)})
					return "cosigned"
				}
				if c.old > 0 {
					w, err := New(shared.Store, "w.example", tlogtest.Key("w"), []Log{{Key: honest.Verifier()}})
					if err != nil {
						t.Fatal(err)
					}
					w.now = clock
					if got := add(t.Context(), w, first, honest, c.old); got != "cosigned" {
						t.Fatal(got)
					}
				}
				var u turns
				var answers [2]string
				var adds [2]func()
				for i := range adds {
					w := u.replica(t, shared, i, clock, honest)
					adds[i] = func() { answers[i] = add(t.Context(), w, requests[i], c.logs[i], c.sizes[i]) }
				}
				u.run(schedule, adds)
				seen[answers[0]+", "+answers[1]] = true
				if err := checkHistory(all); err != nil {
					t.Errorf("order %08b: %v", schedule, err)
				}
			}
			for answers := range seen {
				if !c.answers[answers] {
					t.Errorf("answers: %s", answers)
				}
			}
			for answers := range c.answers {
				if !seen[answers] {
					t.Errorf("no order leads to: %s", answers)
				}
			}
		})
	}
}

// TestReplicaThatWasAway: one that was about to write a generation, while others wrote so many that
// this one was swept, finds its name free and signs nothing all the same.
func TestReplicaThatWasAway(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(90, "entry ")
	fork := tlogtest.New("log.example").Grow(3, "entry ").Grow(9, "other ")
	shared := jobstest.NewArchiveStore(t)
	others, err := New(shared.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, others, l, 0, 3)
	advance := func() {
		for size := int64(3); size < 90; size++ {
			mustAdd(t, others, l, size, size+1)
		}
	}
	written := false
	_, watched := shared.Watched(t, func(_ int64, request string) (error, bool) {
		if strings.HasPrefix(request, "write _ktaudit/witness/") {
			advance()
			written = true
		}
		return nil, false
	})
	away, err := New(watched.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
	if err != nil {
		t.Fatal(err)
	}
	before := len(jobstest.Keys(t, shared.Bucket))
	line, err := away.Add(t.Context(), requestFor(fork, 3, 9))
	if conflict := (*ConflictError)(nil); !errors.As(err, &conflict) || conflict.Size != 90 || !written {
		t.Errorf("%s, %v; wrote: %v", line, err, written)
	}
	// Otherwise this shows nothing: its object is there beside what was not swept.
	if after := len(jobstest.Keys(t, shared.Bucket)); after > before+40 {
		t.Errorf("%d objects: nothing was swept", after)
	}
	mustAdd(t, away, l, 90, 90)
}

// TestNothingIsSignedAsOfALaterTree: a replica that is slow about the time does not sign a tree as
// of a time at which another one had cosigned a larger.
func TestNothingIsSignedAsOfALaterTree(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(9, "entry ")
	shared := jobstest.NewArchiveStore(t)
	replicas := make([]*Witness, 2)
	for i := range replicas {
		var err error
		if replicas[i], err = New(shared.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}}); err != nil {
			t.Fatal(err)
		}
	}
	mustAdd(t, replicas[1], l, 0, 3)
	replicas[0].now = func() time.Time {
		mustAdd(t, replicas[1], l, 5, 9)
		return time.Now()
	}
	line, err := replicas[0].Add(t.Context(), requestFor(l, 3, 5))
	if conflict, ok := errors.AsType[*ConflictError](err); !ok || conflict.Size != 9 {
		t.Errorf("%s, %v", line, err)
	}
}

// TestLostAnswers lets each request to the audit store fail in turn, carried out or not. The log
// asks again, another replica answers, and all is one history.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(9, "entry ")
	fork := tlogtest.New("log.example").Grow(3, "entry ").Grow(9, "other ")
	for _, carriedOut := range []bool{false, true} {
		for failing := 1; ; failing++ {
			shared := jobstest.NewArchiveStore(t)
			others, err := New(shared.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
			if err != nil {
				t.Fatal(err)
			}
			mustAdd(t, others, l, 0, 3)
			requests := 0
			_, watched := shared.Watched(t, func(_ int64, request string) (error, bool) {
				if strings.Contains(request, "/witness/") {
					if requests++; requests == failing {
						return jobstest.ErrFault, carriedOut
					}
				}
				return nil, false
			})
			w, err := New(watched.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Add(t.Context(), requestFor(l, 3, 5))
			if requests < failing {
				break // all of them have failed in their turn
			}
			if err == nil {
				t.Errorf("request %d failed, and nobody was told", failing)
			}
			// It is on record or it is not. Either way the log gets on, and a fork does not.
			_, err = others.Add(t.Context(), requestFor(l, 3, 6))
			conflict, isConflict := errors.AsType[*ConflictError](err)
			if isConflict && conflict.Size == 5 {
				if _, err := others.Add(t.Context(), requestFor(fork, 5, 6)); err == nil {
					t.Error("a fork was cosigned")
				}
				mustAdd(t, others, l, 5, 5)
				mustAdd(t, others, l, 5, 6)
			} else if err != nil {
				t.Errorf("request %d: %v", failing, err)
			}
			mustAdd(t, w, l, 6, 9)
		}
	}
}

// TestReplicasAtOnce has several replicas, and clients that quarrel, over one folder on disk.
func TestReplicasAtOnce(t *testing.T) {
	t.Parallel()
	const size = 60
	logs := []*tlogtest.Log{tlogtest.New("log.example").Grow(size, "entry "), tlogtest.New("log.example").Grow(20, "entry ").Grow(size, "other ")}
	dir := t.TempDir()
	var mu sync.Mutex
	var all []given
	var ticks atomic.Int64
	var wait sync.WaitGroup
	for i := range 4 {
		w, err := New(openStore(t, dir), "w.example", tlogtest.Key("w"), []Log{{Key: logs[0].Verifier()}})
		if err != nil {
			t.Fatal(err)
		}
		w.now = func() time.Time { return time.Unix(ticks.Add(1), 0) }
		wait.Go(func() {
			l, old := logs[i%2], int64(0)
			for next := int64(1 + i); next <= size && old < size; {
				line, err := w.Add(t.Context(), requestFor(l, old, next))
				conflict, isConflict := errors.AsType[*ConflictError](err)
				switch {
				case err == nil:
					mu.Lock()
					all = append(all, given{l, next, timeOf(t, line)})
					mu.Unlock()
					old, next = next, min(size, next+1+int64(i))
				case isConflict && conflict.Size < size:
					old, next = conflict.Size, max(next, conflict.Size+1)
				case isConflict:
					return // somebody has come to the end
				case errors.Is(err, ErrInconsistent):
					return // the other history was quicker
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if err := checkHistory(all); err != nil {
		t.Error(err)
	}
	if len(all) < 10 || all[len(all)-1].size != size {
		t.Errorf("%d cosignatures", len(all))
	}
}

func requestFor(l *tlogtest.Log, old, size int64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	if old < size {
		for _, h := range l.Consistency(size, old) {
			fmt.Fprintln(&b, h)
		}
	}
	b.WriteByte('\n')
	b.Write(l.Checkpoint(size))
	return b.Bytes()
}

func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
