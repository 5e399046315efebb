package audit

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// defaultBudget is used where the machine does not say how much memory it has.
const defaultBudget = 2 << 30

// Budget bounds the memory of all epochs in flight in a process, and shares out its cores. An epoch
// waits until its estimate fits, in the order of arrival, so that big ones are not starved. One
// that is bigger than the whole budget runs alone.
type Budget struct {
	size     int64
	free     *semaphore.Weighted
	reserved atomic.Int64
	sharing  atomic.Int64 // epochs that are being verified
}

// NewBudget returns a budget of so many bytes. 0 means half of the memory of this container or
// machine.
func NewBudget(size int64) *Budget {
	if size <= 0 {
		size = memoryLimit("/sys/fs/cgroup/memory.max", "/proc/meminfo") / 2
	}
	return &Budget{size: size, free: semaphore.NewWeighted(size)}
}

// Size is the budget in bytes.
func (b *Budget) Size() int64 { return b.size }

// Reserved is how many bytes are set aside now.
func (b *Budget) Reserved() int64 { return b.reserved.Load() }

// acquire waits until n bytes are free, or all if n is more than there are. The caller must call
// release.
func (b *Budget) acquire(ctx context.Context, n int64) (release func(), err error) {
	n = min(max(n, 0), b.size)
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, err
	}
	b.reserved.Add(n)
	return func() {
		b.reserved.Add(-n)
		b.free.Release(n)
	}, nil
}

// share returns how many goroutines one more epoch may hash with, so that a lone one has every core
// and many don't get in each other's way. The caller must call done.
func (b *Budget) share() (workers int, done func()) {
	n := int(b.sharing.Add(1))
	return max(1, runtime.GOMAXPROCS(0)/n), func() { b.sharing.Add(-1) }
}

// memoryLimit reads how much memory this process may use from a cgroup's limit and from the
// kernel's MemTotal, whichever is less.
func memoryLimit(cgroup, meminfo string) int64 {
	limit := int64(0)
	consider := func(text string, unit int64) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n <= 1<<60/unit && (limit == 0 || n*unit < limit) {
			limit = n * unit
		}
	}
	if text, err := os.ReadFile(cgroup); err == nil {
		consider(strings.TrimSpace(string(text)), 1)
	}
	if text, err := os.ReadFile(meminfo); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "MemTotal:" {
				consider(fields[1], 1<<10)
			}
		}
	}
	if limit == 0 {
		return 2 * defaultBudget
	}
	return limit
}
