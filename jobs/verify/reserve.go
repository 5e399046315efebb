package verify

import (
	"runtime"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/validator"
)

const (
	// The validator needs at most twice the proof's bytes, and so much for each goroutine that
	// hashes; the fetcher's buffers and a decompressor take the rest.
	memoryPerByte   = 2
	memoryPerWorker = 3 << 20
	memoryForFetch  = 2 << 20
	// smallBatch is a batch that is verified with next to no memory besides its own.
	smallBatch      = 256 << 10
	memoryWhenSmall = 1 << 20
	// leastInPass is how many elements a pass over a confined batch takes at least, however small
	// the budget.
	leastInPass = 1 << 14
	// aheadShare is the part of the budget that a batch's ranges may take: one in so many.
	aheadShare = 4
)

// reserve is the memory that is set aside for a batch, and what for.
//
// Whatever the batch turns out to be, it takes no more: one that is not confined has no more than
// guess bytes, of which the validator makes no more than memoryFor says; and for a confined one the
// validator is told what is left of the memory beside the fetcher's part.
type reserve struct {
	guess, window int64 // the bytes that the batch is expected to have, and its decoder's window
	ahead         int64 // what is held of the stored bytes before they are read
	memory        int64
	confined      bool // it may need more than the budget is, and gets less
}

// reserve is what to set aside for a batch of which so many stored bytes are held before they are
// read; none of it is where that would be much of the budget. A confined one has its log's share of
// the budget, at most half of it, which leaves the rest to other epochs.
func (v *Verifier) reserve(guess, window, ahead int64) reserve {
	if ahead > v.Budget.Size()/aheadShare {
		ahead = 0
	}
	r := reserve{guess: guess, window: window, ahead: ahead, memory: memoryFor(guess, window) + ahead}
	if r.memory > v.Budget.Size() {
		r.confined = true
		r.memory = max(min(v.Budget.Size()/2, v.Budget.memory.Share()), validator.PassMemory(leastInPass)+memoryForFetch+window+ahead)
	}
	return r
}

// fetcher is the one for a batch with this reserve.
func (r reserve) fetcher(f *fetcher.Fetcher) *fetcher.Fetcher {
	if r.ahead == 0 {
		f = f.InOnePart()
	}
	return f.WithWindow(r.window)
}

// passing is the validator's part of a confined batch's memory when it makes passes.
func (r reserve) passing() int64 { return r.memory - memoryForFetch - r.window - r.ahead }

// hashing is how many of so many workers the validator may have when it reads a batch once, which
// take no more than half of its part, and the memory that is left for the elements.
func (r reserve) hashing(workers int) (int, int64) {
	workers = int(max(1, min(int64(workers), r.passing()/(2*memoryPerWorker))))
	return workers, r.passing() - int64(workers)*memoryPerWorker
}

// until is how much of the memory is needed until so many bytes have come.
func (r reserve) until(size int64) int64 { return min(memoryFor(size, r.window)+r.ahead, r.memory) }

// memoryFor is what to set aside for a batch of at most so many bytes and a decoder with such a
// window.
func memoryFor(size, window int64) int64 {
	if window <= plainWindow {
		window = 0
	}
	if size <= smallBatch {
		return memoryWhenSmall + window
	}
	workers := min(int64(runtime.GOMAXPROCS(0)), 1+size/(1<<20))
	return memoryPerByte*size + workers*memoryPerWorker + memoryForFetch + window
}
