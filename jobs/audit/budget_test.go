package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func TestBudgetHoldsBackWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	b := NewBudget(100)
	var used, most atomic.Int64
	var group errgroup.Group
	for range 50 {
		group.Go(func() error {
			release, err := b.acquire(t.Context(), 30)
			if err != nil {
				return err
			}
			defer release()
			n := used.Add(30)
			defer used.Add(-30)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					return nil
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if most.Load() > 100 {
		t.Errorf("%d bytes were in use of a budget of 100", most.Load())
	}
}

func TestBudgetRunsTheOversizedAlone(t *testing.T) {
	t.Parallel()
	b := NewBudget(100)
	small, err := b.acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.acquire(ctx, 1<<40); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("acquired more than the budget beside another: %v", err)
	}
	small()
	big, err := b.acquire(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.acquire(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("acquired one byte beside an oversized one: %v", err)
	}
	big()
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const meminfo = "MemTotal:       2048 kB\nMemFree:        1 kB\n"
	for _, c := range []struct {
		name, cgroup, meminfo string
		want                  int64
	}{
		{"machine only", "", meminfo, 2 << 20},
		{"container is smaller", "1000000\n", meminfo, 1000000},
		{"container is unlimited", "max\n", meminfo, 2 << 20},
		{"nothing known", "", "", 2 * defaultBudget},
		{"nonsense", "-5", "MemTotal: 99999999999999999999 kB", 2 * defaultBudget},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) string {
				path := filepath.Join(dir, name)
				if text != "" {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				return path
			}
			if got := memoryLimit(write("memory.max", c.cgroup), write("meminfo", c.meminfo)); got != c.want {
				t.Errorf("limit is %d, want %d", got, c.want)
			}
		})
	}
}
