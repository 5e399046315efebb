package fetcher

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// A goroutine of its own downloads and decompresses up to readAhead buffers while the caller verifies.
const (
	readAhead  = 4
	bufferSize = 256 << 10
)

var errClosed = errors.New("batch is closed")

// Batch is one batch's bytes, decompressed. It is used by one goroutine at a time.
type Batch struct {
	cancel  context.CancelFunc
	release func()
	stale   func() error // nil: it was not listed

	// full carries what was decompressed, free the buffers back. Content and err belong to the goroutine that fills
	// them until full is closed.
	full    chan []byte
	free    chan []byte
	content *decoded
	err     error

	buffer  []byte // the one being read
	unread  []byte // the rest of it
	drained bool   // full is closed and empty
	closed  bool
}

// Info says what was read. It becomes part of a verdict: it is the same for everybody who reads the object.
type Info struct {
	// StoredBytes came from the log directory, and Bytes out of them; after ErrTooLarge and ErrCorrupt, as many as came
	// before the fault.
	StoredBytes int64
	Bytes       int64
	// Compression is none, zstd, gzip or s2.
	Compression string
	// SHA256 of the stored bytes, in hexadecimal.
	SHA256 string
}

// start sets a goroutine to fill a new Batch. Release is called once, at the end.
func start(ctx context.Context, cancel context.CancelFunc, s *stored, release func(), o Options) *Batch {
	b := &Batch{
		cancel: cancel, release: release,
		full: make(chan []byte, readAhead), free: make(chan []byte, readAhead),
		content: &decoded{stored: s, options: o, compression: compressionNone},
	}
	go b.run(ctx)
	return b
}

// Read returns decompressed bytes. Its errors are for good: io.EOF, after a whole batch and only then; ErrTooLarge or
// ErrCorrupt, wrapped, once all stored bytes have been read; the context's own error; or a transient fault.
func (b *Batch) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.unread) == 0 && !b.next() {
		return 0, b.err
	}
	n := copy(p, b.unread)
	b.unread = b.unread[n:]
	return n, nil
}

// next takes the next buffer. It returns false, and b.err is set, when there is none.
func (b *Batch) next() bool {
	if b.buffer != nil {
		b.free <- b.buffer // never blocks: free has room for all there are
		b.buffer, b.unread = nil, nil
	}
	data, ok := <-b.full
	if !ok {
		b.drained = true
		return false
	}
	b.buffer, b.unread = data[:cap(data)], data
	return true
}

// Finish reads to the end and discards what it reads, for a caller who has seen enough, so that hash and archive cover
// all stored bytes. Only then does a verdict, and a rejection above all, stand on the object the log published: while
// bytes are missing, a fault on their way may be behind it. Finish passes over ErrTooLarge and ErrCorrupt, which Read
// returns; its own errors are transient. (Decode without a size has one more: ErrTooLarge, for stored bytes over their
// limit.)
func (b *Batch) Finish() error {
	if b.closed {
		return errClosed
	}
	for b.next() {
	}
	if b.complete() {
		return nil
	}
	return b.err
}

// complete reports whether all stored bytes have been read, and all that came of them is known.
func (b *Batch) complete() bool {
	return b.drained && b.content.stored.err == io.EOF && (b.err == io.EOF || !Transient(b.err))
}

// Info is available once Read has returned io.EOF, ErrTooLarge or ErrCorrupt, or Finish nil.
func (b *Batch) Info() (Info, error) {
	s := b.content.stored
	if !b.complete() {
		return Info{}, fmt.Errorf("%s: not read to its end", s.label)
	}
	return Info{
		StoredBytes: s.bytes, Bytes: b.content.bytes, Compression: b.content.compression,
		SHA256: hex.EncodeToString(s.sum.Sum(nil)),
	}, nil
}

// Stale returns ErrChanged if what was read is not the state of the object that was listed, as when a content network serves a body
// from its memory for longer than a listing. It may be asked when Info may. A proof that holds is one all the same; one that does not
// may be the log's of yesterday, and the answer may be another when the network has forgotten it.
func (b *Batch) Stale() error {
	if b.stale == nil || !b.complete() {
		return nil
	}
	return b.stale()
}

// Close ends the download and frees what it held. It may be called again. Info stays available if it was.
func (b *Batch) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.cancel()
	for range b.full { // until the goroutine has ended: nothing may use the archive after Close
	}
	b.drained = true
	b.release()
	return nil
}

// run is the goroutine. A panic in here would take the whole process down, so it becomes an error: not a finding,
// because the fault is ours rather than the log's.
func (b *Batch) run(ctx context.Context) {
	defer close(b.full)
	defer func() {
		if p := recover(); p != nil {
			b.err = fmt.Errorf("%s: panic: %v", b.content.stored.label, p)
		}
	}()
	defer b.content.close()
	size := sizedFor(2*b.content.stored.size, bufferSize)
	for made := 0; b.err == nil; {
		var buffer []byte
		if made < readAhead && len(b.free) == 0 {
			made++
			buffer = make([]byte, size)
		} else {
			select {
			case buffer = <-b.free:
			case <-ctx.Done():
				b.err = ctx.Err()
				return
			}
		}
		n := 0
		for n < len(buffer) && b.err == nil {
			var k int
			k, b.err = b.content.Read(buffer[n:])
			n += k
		}
		if n == 0 {
			return
		}
		select {
		case b.full <- buffer[:n]:
		case <-ctx.Done():
			b.err = ctx.Err()
		}
	}
}
