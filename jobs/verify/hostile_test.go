package verify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/jobs/share"
)

// drip gives a byte every ten seconds.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(10 * time.Second):
		p[0] = 0
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// An object that is listed with 2 GiB and gives a byte every ten seconds holds 1 MiB of the budget
// and no part of the cores. What comes after all, comes in full.
func TestHostileDripHoldsLittleMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(8 << 30)
		budget.memory.Join("hostile")
		budget.memory.Join("honest")
		const listed = 2 << 30
		hold, ctx, err := budget.memory.Acquire(t.Context(), "hostile", memoryFor(listed, 0))
		if err != nil {
			t.Fatal(err)
		}
		hold.Cores(8)
		rest := bytes.Repeat([]byte{1}, 3<<20)
		r := share.NewReader(ctx, io.MultiReader(io.LimitReader(drip{ctx}, 100), bytes.NewReader(rest)), listed, reserve{guess: listed, memory: memoryFor(listed, 0)}.until, hold)
		defer r.Close()
		p := make([]byte, 4096)
		for range 100 {
			if n, err := r.Read(p); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if held := budget.Reserved(); held > 1<<20 {
			t.Errorf("%d bytes are set aside for 100 that came", held)
		}
		honest, _, err := budget.memory.Acquire(t.Context(), "honest", 7<<30)
		if err != nil {
			t.Fatal(err)
		}
		if cores := honest.Cores(8); cores != 8 {
			t.Errorf("%d of 8 cores beside a drip", cores)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, rest) {
			t.Errorf("%d bytes after the drip, %v", len(got), err)
		}
		honest.Release()
		if held := budget.Reserved(); held < memoryFor(int64(len(rest)), 0) {
			t.Errorf("%d bytes are set aside for %d", held, len(rest))
		}
		hold.Release()
		if budget.Reserved() != 0 {
			t.Errorf("%d bytes are set aside in the end", budget.Reserved())
		}
	})
}

// A log within its share has the memory that it lent in seconds; who borrowed it is put back and
// knows why.
func TestHostileBorrowerIsPutBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(100 << 20)
		budget.memory.Join("honest")
		var held []*share.Hold
		failed := make(chan error, 4)
		for range 4 {
			hold, ctx, err := budget.memory.Acquire(t.Context(), "hostile", 25<<20)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, hold)
			go func() {
				_, err := io.Copy(io.Discard, share.NewReader(ctx, drip{ctx}, 10<<20, reserve{guess: 10 << 20, memory: 25 << 20}.until, hold))
				hold.Release()
				if errors.Is(context.Cause(ctx), share.ErrReclaimed) {
					err = share.ErrReclaimed
				}
				failed <- err
			}()
		}
		began := time.Now()
		hold, _, err := budget.memory.Acquire(t.Context(), "honest", 50<<20)
		if err != nil || time.Since(began) > 3*time.Second {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		for range 2 {
			if err := <-failed; !errors.Is(err, share.ErrReclaimed) {
				t.Errorf("it ended with %v", err)
			}
		}
		hold.Release()
		held[0].Release()
		held[1].Release()
	})
}

// stream gives so many bytes a second.
type stream struct {
	ctx    context.Context
	second int
}

func (s stream) Read(p []byte) (int, error) {
	n := min(len(p), s.second/4)
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(s.second)):
		return n, nil
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

// An object that is listed as larger than the budget and comes too fast for a drip, but so slowly
// that it would take hours, does not hold what other logs lent it for that long.
func TestHostileSlowGiantIsPutBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(1 << 30)
		budget.memory.Join("hostile")
		budget.memory.Join("honest")
		const listed = 600 << 20
		hold, ctx, err := budget.memory.Acquire(t.Context(), "hostile", memoryFor(listed, 0))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r := share.NewReader(ctx, stream{ctx, 100 << 10}, listed, reserve{guess: listed, memory: memoryFor(listed, 0)}.until, hold)
			defer r.Close()
			_, _ = io.Copy(io.Discard, r)
			hold.Release()
		}()
		time.Sleep(2 * time.Minute)
		for i, most := range []time.Duration{6 * time.Minute, time.Second} {
			began := time.Now()
			honest, _, err := budget.memory.Acquire(t.Context(), "honest", 10<<20)
			if took := time.Since(began); err != nil || took > most {
				t.Fatalf("epoch %d of a log within its share waited for %s: %v", i, took, err)
			}
			honest.Release()
		}
		<-ended
		// What it did to others is not repeated soon.
		waiting, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		if _, _, err := budget.memory.Acquire(waiting, "hostile", memoryFor(listed, 0)); err == nil {
			t.Error("the next giant begins at once")
		}
	})
}
