package verify

import (
	"os"
	"runtime/debug"

	"github.com/ktaudit/ktaudit/jobs/share"
)

// Budget bounds the memory of all epochs in flight in a process, and shares out its cores: see
// share.Memory. An epoch waits until its estimate fits; one that is bigger than the whole budget
// has all of it.
type Budget struct{ memory *share.Memory }

// NewBudget returns a budget of so many bytes. 0 means half of the memory of this container or
// machine.
func NewBudget(size int64) *Budget {
	if size <= 0 {
		size = budgetOf(share.MachineMemory())
	}
	return &Budget{share.NewMemory(size)}
}

// budgetOf is the budget of a process that may use so much memory, and heapLimitOf how large its
// heap may get. Live memory is the budget's and little more; the rest is for what the garbage
// collector has not collected yet, which it collects sooner the nearer the heap is to its limit,
// and for what is no heap.
func budgetOf(memory int64) int64    { return memory / 2 }
func heapLimitOf(memory int64) int64 { return memory / 10 * 9 }

// LimitHeap makes the garbage collector heed the memory of this container or machine, unless the
// environment variable GOMEMLIMIT says what it is to heed. By itself it lets the heap grow to twice
// what is in use, or to three times, which with a full budget is the whole container or more.
func LimitHeap() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimitOf(share.MachineMemory()))
	}
}

// Join gives a log its share of the budget.
func (b *Budget) Join(namespace string) { b.memory.Join(namespace) }

// Size is the budget in bytes.
func (b *Budget) Size() int64 { return b.memory.Size() }

// Reserved is how many bytes are set aside now.
func (b *Budget) Reserved() int64 { return b.memory.Used() }
