package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

const (
	// rangeSize is how many bytes a request for a part of a large object asks for. On a line with
	// 50 ms of latency and 20 MB/s a connection, a connection is used for four fifths of the time.
	rangeSize = 4 << 20
	// MaxRanges is the largest Options.Ranges.
	MaxRanges = 16
	// maxTurns is how many requests for parts ahead of those that are being read a log directory
	// gets at once, whatever the number of batches.
	maxTurns = 64
)

// readAhead is how many bytes of a stored object may be held before they are read; 0 if it is
// fetched in one part.
func (o Options) readAhead(size int64) int64 {
	if o.Ranges == 1 || size <= 2*o.rangeSize {
		return 0
	}
	return min(int64(o.Ranges), (size+o.rangeSize-1)/o.rangeSize) * o.rangeSize
}

// errUnranged: a request for the first part of an object was answered with more than that.
var errUnranged = errors.New("the server ignores ranges")

// ranges reads an object in parts, several at once, and returns their bytes in order. The first
// part that has not been read is always under way; those after it wait for a turn.
type ranges struct {
	*transfer
	ctx    context.Context // of the parts after the first one
	cancel context.CancelFunc
	turns  chan struct{}

	parts   []*pending // in order; the first one is being read
	next    int64      // where the next one begins
	spare   [][]byte   // buffers
	running sync.WaitGroup
	rest    *part // all that is left, of a server that ignores ranges
}

// pending is a part that is being fetched.
type pending struct {
	begin  int64
	part   *part
	buffer []byte
	filled atomic.Int64  // bytes of it
	came   chan struct{} // tells of more of them; closed at the end, after err was set
	err    error

	taken int64 // bytes, by the reader
}

func newRanges(t *transfer, turns chan struct{}) *ranges {
	r := &ranges{transfer: t, turns: turns}
	r.ctx, r.cancel = context.WithCancel(t.ctx)
	return r
}

// Read never returns 0, nil for a non-empty p. Its errors are those of a part.
func (r *ranges) Read(p []byte) (int, error) {
	for r.rest == nil {
		r.request()
		if len(r.parts) == 0 {
			return 0, io.EOF
		}
		first := r.parts[0]
		if n := first.take(p); n > 0 {
			return n, nil
		}
		open := true
		select {
		case _, open = <-first.came:
		case <-r.transfer.ctx.Done():
			return 0, r.ended(r.transfer.ctx, first.begin+first.taken)
		}
		switch {
		case open || first.taken < first.filled.Load():
		case first.err == io.EOF:
			r.parts, r.spare = r.parts[1:], append(r.spare, first.buffer)
		case first.err == errUnranged:
			r.cancel()
			r.running.Wait()
			r.rest, r.parts, r.spare = first.part, nil, nil
			r.rest.end = r.object.Size
		default:
			r.cancel()
			return 0, first.err
		}
	}
	return r.rest.Read(p)
}

// request requests parts as long as there is room and a turn for them.
func (r *ranges) request() {
	for r.next < r.object.Size && len(r.parts) < r.options.Ranges {
		ahead := len(r.parts) > 0
		if ahead {
			select {
			case r.turns <- struct{}{}:
			default:
				return
			}
		}
		ctx := r.ctx
		if r.next == 0 {
			ctx = r.transfer.ctx // it outlasts the others if the server ignores ranges
		}
		end := min(r.next+r.options.rangeSize, r.object.Size)
		p := &pending{begin: r.next, part: newPart(ctx, r.transfer, r.next, end), buffer: r.buffer()[:end-r.next], came: make(chan struct{}, 1)}
		r.parts, r.next = append(r.parts, p), end
		r.running.Go(func() {
			p.fetch()
			if ahead {
				<-r.turns
			}
		})
	}
}

// buffer returns one for the bytes of a part.
func (r *ranges) buffer() []byte {
	last := len(r.spare) - 1
	if last < 0 {
		return make([]byte, r.options.rangeSize)
	}
	buffer := r.spare[last]
	r.spare = r.spare[:last]
	return buffer
}

// take reads what there is of the part and has not been read.
func (p *pending) take(b []byte) int {
	n := copy(b, p.buffer[p.taken:p.filled.Load()])
	p.taken += int64(n)
	return n
}

// fetch fills the buffer. A panic in it would end the process, so it becomes an error, and a
// transient one.
func (p *pending) fetch() {
	defer close(p.came)
	defer func() {
		if v := recover(); v != nil {
			p.err = p.part.failed(p.part.offset, fmt.Errorf("panic: %v", v))
		}
		if p.err != errUnranged {
			_ = p.part.Close() // Read has reported its errors
		}
	}()
	for p.err == nil {
		var n int
		n, p.err = p.part.Read(p.buffer[p.filled.Load():]) // the last time, into nothing: it sees to the end
		p.filled.Add(int64(n))
		select {
		case p.came <- struct{}{}:
		default:
		}
	}
}

// Close ends all requests. The transfer's context must have ended.
func (r *ranges) Close() error {
	r.cancel()
	r.running.Wait()
	for _, p := range r.parts {
		_ = p.part.Close() // Read has reported its errors
	}
	if r.rest != nil {
		_ = r.rest.Close()
	}
	return nil
}
