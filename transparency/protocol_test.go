package transparency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/tlog"
)

// The requests of processes that append to one log, in many orders, while requests fail, take
// effect although they fail, and processes die: whatever happens, there is one tree for each size,
// the tiles are those of the newest one, nobody cries wolf, and the log goes on.

// outcome is what becomes of a request.
type outcome int

const (
	succeeds outcome = iota
	fails            // and has no effect
	isLost           // took effect, and the answer is lost
	kills            // took effect, and the process dies of it
)

// request waits until the schedule says what becomes of it.
type request struct {
	who  int
	what string
	done chan outcome
}

// play is one run of some processes on one store.
type play struct {
	t      *testing.T
	bucket *blob.Bucket
	gated  func(request string) bool
	// choose says which of the requests that wait is next, and what becomes of it.
	choose func(waiting []*request) (*request, outcome)

	mu      sync.Mutex
	waiting []*request
	dead    map[int]bool
	running int
	trees   map[int64]tlog.Hash
	trace   strings.Builder
}

func newPlay(t *testing.T) *play {
	return &play{t: t, bucket: memblob.OpenBucket(nil), dead: map[int]bool{}, trees: map[int64]tlog.Hash{}}
}

// store is the store as a process sees it.
func (p *play) store(who int) *auditstore.Store {
	plain := &jobstest.ArchiveStore{Bucket: p.bucket, Store: auditstore.New(p.bucket)}
	_, store := plain.Watched(p.t, func(_ int64, what string) (error, bool) {
		p.mu.Lock()
		if p.dead[who] {
			p.mu.Unlock()
			return jobstest.ErrFault, false
		}
		if !p.gated(what) {
			p.mu.Unlock()
			return nil, false
		}
		r := &request{who, what, make(chan outcome)}
		p.waiting = append(p.waiting, r)
		p.mu.Unlock()
		switch <-r.done {
		case fails:
			return jobstest.ErrFault, false
		case isLost, kills:
			return jobstest.ErrFault, true
		}
		return nil, false
	})
	return store.Store
}

// process runs until the log has so many entries; after it was killed it starts anew.
func (p *play) process(who int, target int64) {
	p.running++
	go func() {
		defer p.end()
		for {
			l := Open(p.store(who), namespace, Verdicts)
			for !p.isDead(who) {
				c, err := advance(context.Background(), l, 100)
				_, isFork := errors.AsType[*ForkError](err)
				switch {
				case isFork, errors.Is(err, ErrNotOurs):
					p.t.Errorf("%s: process %d: %v", p.trace.String(), who, err)
					return
				case err == nil:
					p.signed(c)
				}
				if err == nil && c.N >= target {
					return
				}
				time.Sleep(time.Second)
			}
			p.mu.Lock()
			p.dead[who] = false
			p.mu.Unlock()
		}
	}()
}

// other runs something beside the processes that append.
func (p *play) other(who int, do func(s *auditstore.Store)) {
	p.running++
	go func() {
		defer p.end()
		do(p.store(who))
	}()
}

func (p *play) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
}

func (p *play) isDead(who int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead[who]
}

func (p *play) signed(c Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, ok := p.trees[c.N]; ok && other != c.Hash {
		p.t.Errorf("%s: two trees of size %d were signed", p.trace.String(), c.N)
	}
	p.trees[c.N] = c.Hash
}

// run lets the schedule take its course.
func (p *play) run() {
	for {
		synctest.Wait()
		p.mu.Lock()
		waiting, running := slices.Clone(p.waiting), p.running
		p.mu.Unlock()
		if running == 0 {
			return
		}
		if len(waiting) == 0 {
			time.Sleep(time.Second) // somebody pauses before the next attempt
			continue
		}
		slices.SortStableFunc(waiting, func(a, b *request) int { return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.what, b.what)) })
		r, o := p.choose(waiting)
		p.mu.Lock()
		p.waiting = slices.DeleteFunc(p.waiting, func(other *request) bool { return other == r })
		p.dead[r.who] = o == kills
		fmt.Fprintf(&p.trace, "%d%c", r.who, []rune("·-~†")[o])
		p.mu.Unlock()
		r.done <- o
	}
}

// check holds what is there in the end against the verdicts.
func (p *play) check(target int64) {
	p.t.Helper()
	s := auditstore.New(p.bucket)
	l := Open(s, namespace, Verdicts)
	c, err := advance(p.t.Context(), l, 100)
	if err != nil || c.N != target {
		p.t.Fatalf("%s: in the end the log has %d entries, %v", p.trace.String(), c.N, err)
	}
	p.signed(c)
	var all [][]byte
	for index := range c.N {
		entry, _, err := l.Entry(p.t.Context(), c.Tree, index)
		if err != nil {
			p.t.Fatalf("%s: %v", p.trace.String(), err)
		}
		object, absence, err := l.OnRecord(p.t.Context(), index)
		must(p.t, err)
		if string(entry) != string(object) && string(entry) != string(absence) {
			p.t.Errorf("%s: entry %d is %q", p.trace.String(), index, entry)
		}
		all = append(all, entry)
	}
	for generation := uint64(1); generation <= c.Generation; generation++ {
		if on, err := l.checkpoint(p.t.Context(), checkpoints, generation); err == nil {
			p.signed(on)
		}
	}
	for size, root := range p.trees {
		if want := treeOf(p.t, all[:size]); want.Hash != root {
			p.t.Errorf("%s: what was signed for size %d is not the tree of the entries", p.trace.String(), size)
		}
	}
}

func isWrite(request string) bool {
	return strings.HasPrefix(request, "write "+namespace+"/tlog/") || strings.HasPrefix(request, "remove ")
}

func isWriteOrList(request string) bool {
	return isWrite(request) || strings.HasPrefix(request, "write "+namespace+"/verdicts/") || strings.HasPrefix(request, "list ")
}

// prepare puts the store to the point from which all plays go on: a bucket that is known to create
// objects once, a log that is begun, and some verdicts.
func (p *play) prepare(to uint64) {
	s := auditstore.New(p.bucket)
	begun(p.t, s)
	judge(p.t, s, first, to)
}

// TestEveryInterleaving plays all orders of the writes of two processes, with at most one that goes
// wrong in each of three ways.
func TestEveryInterleaving(t *testing.T) {
	t.Parallel()
	var path []int // choices, as places in the list of what was possible
	plays := 0
	for {
		depth, wrong := 0, false
		var width []int
		synctest.Test(t, func(t *testing.T) {
			p := newPlay(t)
			p.gated = isWrite
			p.choose = func(waiting []*request) (*request, outcome) {
				var next []*request // the first of each process: one process's own order is of no interest
				for _, r := range waiting {
					if len(next) == 0 || next[len(next)-1].who != r.who {
						next = append(next, r)
					}
				}
				options := len(next)
				if !wrong {
					options *= 4
				}
				if depth == len(path) {
					path = append(path, 0)
				}
				choice := path[depth]
				depth, width = depth+1, append(width, options)
				o := outcome(choice / len(next))
				wrong = wrong || o != succeeds
				return next[choice%len(next)], o
			}
			p.prepare(first + 1)
			p.process(0, 2)
			p.process(1, 2)
			p.run()
			p.check(2)
		})
		plays++
		i := len(path) - 1
		for ; i >= 0 && path[i] == width[i]-1; i-- {
		}
		if i < 0 || t.Failed() || raceDetector && plays == 60 {
			break
		}
		path = append(path[:i:i], path[i]+1)
	}
	t.Logf("%d plays", plays)
}

// TestManyInterleavings plays some of the orders of the reads and writes of three processes, of
// which many go wrong, while verdicts come, one of them on an epoch that is on record as absent.
func TestManyInterleavings(t *testing.T) {
	t.Parallel()
	seeds := uint64(200)
	switch {
	case raceDetector:
		seeds = 20
	case os.Getenv("KTAUDIT_LONG") != "":
		seeds = 20_000
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 1))
		synctest.Test(t, func(t *testing.T) {
			p := newPlay(t)
			p.gated = isWriteOrList
			p.choose = func(waiting []*request) (*request, outcome) {
				o := succeeds
				if random.IntN(6) == 0 {
					o = outcome(1 + random.IntN(3))
				}
				r := waiting[random.IntN(len(waiting))]
				if r.who == 9 {
					o = succeeds
				}
				return r, o
			}
			p.prepare(first + 1)
			_, err := Open(auditstore.New(p.bucket), namespace, Verdicts).PutAbsence(t.Context(), first+2, "somebody", "it is gone", time.Now())
			must(t, err)
			for who := range 3 {
				p.process(who, 6)
			}
			p.other(9, func(s *auditstore.Store) { judge(t, s, first+2, first+5) })
			p.run()
			p.check(6)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestSleeper stops a process at each of its requests while the log goes on for so long that what
// it knew is swept, and one epoch gets another entry than it has in mind.
func TestSleeper(t *testing.T) {
	t.Parallel()
	for stop := 1; ; stop++ {
		slept := false
		synctest.Test(t, func(t *testing.T) {
			p := newPlay(t)
			p.gated = func(what string) bool { return isWrite(what) || strings.HasPrefix(what, "list ") }
			p.prepare(first)
			l := Open(auditstore.New(p.bucket), namespace, Verdicts)
			_, err := l.PutAbsence(t.Context(), first+1, "somebody", "it is gone", time.Now())
			must(t, err)
			n := 0
			p.choose = func(waiting []*request) (*request, outcome) {
				if n++; n != stop {
					return waiting[0], succeeds
				}
				slept = true
				for epoch := first + 1; epoch < first+40; epoch++ { // the first of them comes late
					judge(t, auditstore.New(p.bucket), epoch, epoch)
					p.signed(advanced(t, l, 100))
				}
				return waiting[0], succeeds
			}
			p.process(0, 2)
			p.run()
			judge(t, auditstore.New(p.bucket), first+1, first+39)
			advanced(t, Open(auditstore.New(p.bucket), namespace, Verdicts), 100)
			p.check(40)
		})
		if !slept || t.Failed() || raceDetector && stop == 3 {
			t.Logf("%d requests", stop-1)
			break
		}
	}
}
