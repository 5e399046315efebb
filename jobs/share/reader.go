package share

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A body of which less than slowRate bytes a second come for slowWindow gives back the memory
	// that was set aside for what has not come. It is far below what any honest log serves, so that
	// epochs on a slow line do not get in each other's way half-done.
	slowWindow = 5 * time.Second
	slowRate   = 64 << 10
	// growStep is for how many more bytes, at least, memory is asked again.
	growStep = 4 << 20
	// leastRoom is for how many bytes memory is kept in any case.
	leastRoom = 256 << 10
	// ProgressStep is how many bytes count as having come further.
	ProgressStep = 64 << 10
)

// ErrOverGuess: a body is larger than the memory that was set aside for it.
var ErrOverGuess = errors.New("batch is larger than expected")

// Reader passes on so many bytes, and fails if there are more. It adds up how long it waits for
// them, and keeps the memory that is set aside in step with what comes.
type Reader struct {
	ctx   context.Context // the hold's
	r     io.Reader
	hold  *Hold
	guess int64 // so many bytes at most
	need  func(size int64) int64

	Waited time.Duration // for the bytes

	marked  int64 // bytes at the last progress
	reading atomic.Bool
	timer   *time.Timer

	mu   sync.Mutex
	came int64
	seen int64 // by the last look
	room int64 // for so many bytes memory is set aside
}

// NewReader returns a reader of r, for which memory for guess bytes is set aside. Need says how
// much memory a body of a size takes. The caller must close it.
func NewReader(ctx context.Context, r io.Reader, guess int64, need func(size int64) int64, hold *Hold) *Reader {
	b := &Reader{ctx: ctx, r: r, hold: hold, guess: guess, need: need, room: guess}
	b.mu.Lock() // until timer is set
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(slowWindow, b.review)
	return b
}

// Close ends the reader, but not what it reads.
func (b *Reader) Close() { b.timer.Stop() }

// review gives back what a slow body does not need for now. That the validator is slow is not the
// body's fault.
func (b *Reader) review() {
	if !b.mu.TryLock() { // it is about to grow
		b.timer.Reset(slowWindow)
		return
	}
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return
	}
	if b.reading.Load() && b.came-b.seen < int64(slowRate*slowWindow/time.Second) {
		b.room = min(b.room, max(b.came, leastRoom))
		b.hold.Shrink(b.need(b.room))
	}
	b.seen = b.came
	b.timer.Reset(slowWindow)
}

func (b *Reader) Read(p []byte) (int, error) {
	began := time.Now()
	b.reading.Store(true)
	n, err := b.r.Read(p[:min(int64(len(p)), b.guess-b.came+1)])
	b.reading.Store(false)
	b.Waited += time.Since(began)

	b.mu.Lock()
	defer b.mu.Unlock()
	if int64(n) > b.guess-b.came {
		return 0, ErrOverGuess
	}
	b.came += int64(n)
	if b.came > b.room {
		b.room = min(b.guess, b.came+max(b.came, growStep))
		if err := b.hold.Grow(b.ctx, b.need(b.room)); err != nil {
			return 0, err
		}
	}
	if b.came >= growStep && b.came-int64(n) < growStep {
		b.hold.Proven()
	}
	if b.came-b.marked >= ProgressStep {
		b.marked = b.came
		Progress(b.ctx)
	}
	return n, err
}
