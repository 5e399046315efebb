package share

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// giants keeps a log asking for all there is. Each giant comes as it should, and slowly.
func giants(ctx context.Context, m *Memory, log string, took time.Duration) {
	for ctx.Err() == nil {
		h, held, err := m.Acquire(ctx, log, 1000)
		if err != nil {
			return
		}
		h.Proven()
		select {
		case <-held.Done():
		case <-time.After(took):
		}
		h.Release()
	}
}

// A log whose honest epochs are all of more than a share has its part of the time beside one whose
// giants take for ever.
func TestHostileGiantsBesideHonestOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := budget("hostile", "honest", "idle")
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Hour)
		defer stop()
		for range 4 {
			go giants(ctx, m, "hostile", 30*time.Minute)
		}
		time.Sleep(time.Second)
		n, longest := 0, time.Duration(0)
		for began := time.Now(); ; began = time.Now() {
			h, held, err := m.Acquire(ctx, "honest", 40)
			if err != nil {
				break
			}
			longest = max(longest, time.Since(began))
			h.Proven()
			time.Sleep(20 * time.Second)
			if held.Err() == nil {
				n++
			}
			h.Release()
		}
		stop()
		synctest.Wait()
		if alone := 5 * 60 * 3; n < alone*4/10 || longest > 2*longestTurn {
			t.Errorf("%d of %d epochs that it has alone; the longest wait was %s", n, alone, longest)
		}
	})
}

// What the giants of one log did to others is not held against the big epochs of another.
func TestHostileGiantsRestAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := budget("hostile", "honest", "small")
		giant := ask(t, m, "hostile", 1000)
		giant.hold.Proven()
		small := ask(t, m, "small", 10)
		time.Sleep(4 * time.Minute)
		if small.has() {
			t.Fatal("more than there is")
		}
		giant.hold.Release()
		if big := ask(t, m, "honest", 40); !small.has() || !big.has() {
			t.Error("there is room for both")
		}
		if next := ask(t, m, "hostile", 40); next.has() {
			t.Error("the hostile log does not rest")
		}
	})
}
