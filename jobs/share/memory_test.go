package share

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// holding is a request of a test.
type holding struct {
	hold *Hold
	ctx  context.Context
	err  error
	done chan struct{}
}

// ask acquires without waiting for it; the answer is there when done is closed.
func ask(t *testing.T, m *Memory, log string, n int64) *holding {
	h := &holding{done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.hold, h.ctx, h.err = m.Acquire(t.Context(), log, n)
	}()
	synctest.Wait()
	return h
}

func (h *holding) has() bool {
	synctest.Wait()
	select {
	case <-h.done:
		return h.err == nil
	default:
		return false
	}
}

// putBack releases the hold as soon as it is reclaimed, and says so.
func (h *holding) putBack() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		<-h.ctx.Done()
		if context.Cause(h.ctx) == ErrReclaimed {
			h.hold.Release()
			close(ended)
		}
	}()
	return ended
}

func budget(logs ...string) *Memory {
	m := NewMemory(100)
	for _, log := range logs {
		m.Join(log)
	}
	return m
}

func TestMemoryIsLentAndTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := budget("a", "b")
		var holds []*holding
		for range 5 {
			holds = append(holds, ask(t, m, "a", 20))
		}
		for i, h := range holds {
			if !h.has() {
				t.Fatalf("a may borrow all that is free, but not its hold %d", i)
			}
		}
		first := []<-chan struct{}{holds[3].putBack(), holds[4].putBack()}
		b := ask(t, m, "b", 40)
		if b.has() {
			t.Fatal("more than there is")
		}
		time.Sleep(reclaimAfter + reviewEvery)
		if !b.has() || m.Used() != 100 {
			t.Fatalf("b has not got its share back: %d in use", m.Used())
		}
		for i, ended := range first {
			select {
			case <-ended:
			default:
				t.Errorf("the youngest, %d, is still there", i)
			}
		}
		// Within its share, a is left alone, and b waits beyond its own.
		more := ask(t, m, "b", 20)
		time.Sleep(time.Hour)
		if more.has() || holds[0].ctx.Err() != nil {
			t.Error("b took more than its share from a")
		}
		holds[0].hold.Release()
		if !more.has() {
			t.Error("b may borrow what is free")
		}
	})
}

func TestHostileDripHoldsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := budget("hostile", "honest")
		drip := ask(t, m, "hostile", 1000) // all of it
		if !drip.has() || m.Used() != 100 {
			t.Fatal("what is bigger than all gets all there is")
		}
		honest := ask(t, m, "honest", 30)
		if honest.has() {
			t.Fatal("more than there is")
		}
		drip.hold.Shrink(1)
		if !honest.has() || m.Used() != 31 {
			t.Fatal("what the drip gave back is not there")
		}
		if cores := honest.hold.Cores(8); cores != 8 {
			t.Errorf("%d of 8 cores beside a drip", cores)
		}
		// It may have come half its way before: slow, it is reclaimed for a log within its share.
		drip.hold.Release()
		half := ask(t, m, "hostile", 70)
		ended := half.putBack()
		half.hold.Shrink(60)
		second := ask(t, m, "honest", 20)
		time.Sleep(reclaimAfter + reviewEvery)
		<-ended
		if !second.has() {
			t.Error("the honest log has not got its share")
		}
	})
}

func TestBigEpochsHaveTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := budget("big", "small")
		stop, pace := make(chan struct{}), make(chan time.Duration, 1<<16)
		var workers sync.WaitGroup
		for range 5 { // 50 of 100 are always asked for
			workers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					began := time.Now()
					h, _, err := m.Acquire(t.Context(), "small", 10)
					if err != nil {
						t.Error(err)
						return
					}
					pace <- time.Since(began)
					time.Sleep(time.Second)
					h.Release()
				}
			})
		}
		time.Sleep(time.Second / 2)
		began := time.Now()
		for i := range 3 {
			h, ctx, err := m.Acquire(t.Context(), "big", 80)
			if err != nil {
				t.Fatal(err)
			}
			h.Proven()
			time.Sleep(20 * time.Second)
			if ctx.Err() != nil {
				t.Errorf("big epoch %d was reclaimed while its body came", i)
			}
			h.Release()
		}
		took := time.Since(began)
		close(stop)
		workers.Wait()
		if took < 3*turnAfter || took > 15*time.Minute {
			t.Errorf("three big ones took %s", took)
		}
		if want := int(took.Seconds()) * 5 * 8 / 10; len(pace) < want {
			t.Errorf("%d small ones meanwhile, want %d", len(pace), want)
		}
	})
}

// Objects that are listed as bigger than the whole budget, one after the other, and of which
// nothing comes, cost a log within its share next to nothing.
func TestHostileGiantsCostASixth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := budget("hostile", "honest")
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
		defer stop()
		var giants sync.WaitGroup
		for range 8 {
			giants.Go(func() {
				for {
					h, held, err := m.Acquire(ctx, "hostile", 1000)
					if err != nil {
						return
					}
					<-held.Done() // reclaimed, or the end
					h.Release()
				}
			})
		}
		n, began := 0, time.Now()
		for ; ctx.Err() == nil; n++ {
			h, _, err := m.Acquire(ctx, "honest", 10)
			if err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
			h.Release()
		}
		giants.Wait()
		if want := int(time.Since(began)/(100*time.Millisecond)) * 82 / 100; n < want {
			t.Errorf("%d epochs beside giants, want %d", n, want)
		}
		if m.Used() != 0 || m.big != 0 {
			t.Errorf("%d in use, %d big", m.Used(), m.big)
		}
	})
}

// Epochs that shrank and want more than there is: none waits for ever, and the oldest comes
// through.
func TestGrowingIsNoDeadlock(t *testing.T) {
	t.Parallel()
	for _, logs := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}} {
		synctest.Test(t, func(t *testing.T) {
			m := budget(logs...)
			soon, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			var workers sync.WaitGroup
			finished := 0
			var mu sync.Mutex
			for i := range 12 {
				workers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 1))
					for done := false; !done; {
						log, claim := logs[i%len(logs)], 20+r.Int64N(100)
						h, ctx, err := m.Acquire(soon, log, claim)
						if err != nil {
							t.Errorf("epoch %d waits for ever: %v", i, err)
							return
						}
						if m.Used() > 100 {
							t.Errorf("%d of 100 in use", m.Used())
						}
						h.Shrink(1)
						for have := int64(1); have < claim && err == nil && soon.Err() == nil; have += 7 {
							time.Sleep(time.Duration(r.Int64N(int64(time.Second))))
							err = h.Grow(ctx, have)
						}
						if err != nil && !errors.Is(err, ErrReclaimed) {
							t.Errorf("epoch %d waits for ever: %v", i, err)
						}
						done = context.Cause(ctx) != ErrReclaimed
						h.Release()
						time.Sleep(time.Duration(r.Int64N(int64(2 * time.Second))))
					}
					mu.Lock()
					defer mu.Unlock()
					finished++
				})
			}
			workers.Wait()
			if finished != 12 || m.Used() != 0 || m.big != 0 {
				t.Errorf("%d finished, %d in use, %d big", finished, m.Used(), m.big)
			}
		})
	}
}
