package fetcher

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// Each Batch has a goroutine that downloads and decompresses up to buffersAhead buffers while the
// caller verifies.
const (
	buffersAhead = 4
	bufferSize   = 256 << 10
)

var errClosed = errors.New("batch is closed")

// Batch is one batch's bytes, decompressed. One goroutine at a time may use it.
type Batch struct {
	cancel  context.CancelFunc
	release func()
	stale   func() error // nil for Decode, which has no listing

	// filled carries decompressed bytes to the reader, free the buffers back. Content and err
	// belong to the filling goroutine until it closes filled.
	filled  chan []byte
	free    chan []byte
	content *decodedReader
	err     error

	buffer  []byte // the one being read
	unread  []byte // the rest of it
	drained bool   // filled is closed and empty
	closed  bool
}

// Info says what was read. It becomes part of a verdict: it is the same for everybody who reads the
// object.
type Info struct {
	// StoredBytes were read from the log directory; Bytes is their number after decompression.
	// After ErrTooLarge and ErrCorrupt, Bytes counts what came before the fault.
	StoredBytes int64
	Bytes       int64
	// Compression is none, zstd, gzip or s2.
	Compression string
	// SHA256 is the hash of the stored bytes, in hexadecimal; empty with Options.Unhashed.
	SHA256 string
}

// newBatch starts the goroutine that fills a new Batch. Release is called once, at the end.
func newBatch(ctx context.Context, cancel context.CancelFunc, s *storedReader, release func(), o Options) *Batch {
	if !o.Unhashed {
		s.sum = sha256.New()
	}
	b := &Batch{
		cancel: cancel, release: release,
		filled: make(chan []byte, buffersAhead), free: make(chan []byte, buffersAhead),
		content: &decodedReader{stored: s, options: o, compression: compressionNone},
	}
	go b.run(ctx)
	return b
}

// Read returns decompressed bytes. Its errors are final: io.EOF, only after a whole batch;
// ErrTooLarge or ErrCorrupt, wrapped, once all stored bytes have been read; the context's own
// error; or a transient fault.
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
		b.free <- b.buffer // never blocks: free has room for all buffers
		b.buffer, b.unread = nil, nil
	}
	data, ok := <-b.filled
	if !ok {
		b.drained = true
		return false
	}
	b.buffer, b.unread = data[:cap(data)], data
	return true
}

// Finish reads to the end and discards what it reads, so that hash and archive cover all stored
// bytes. Call it before drawing a conclusion, above all before a rejection: while bytes are
// missing, a fault of the network may be the cause. Finish ignores ErrTooLarge and ErrCorrupt,
// which Read returns; its own errors are transient, except that after Decode without a size it
// returns ErrTooLarge for too many stored bytes.
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

// complete reports whether all stored bytes have been read and decoded, as far as they can be.
func (b *Batch) complete() bool {
	return b.drained && b.content.stored.err == io.EOF && (b.err == io.EOF || !Transient(b.err))
}

// Info returns what was read. It is an error before Read has returned io.EOF, ErrTooLarge or
// ErrCorrupt, or Finish nil.
func (b *Batch) Info() (Info, error) {
	s := b.content.stored
	if !b.complete() {
		return Info{}, fmt.Errorf("%s: not read to its end", s.label)
	}
	return Info{
		StoredBytes: s.bytes, Bytes: b.content.bytes, Compression: b.content.compression,
		SHA256: s.hash(),
	}, nil
}

// Stale returns ErrChanged if the bytes were not of the state of the object that was listed, as
// when a content delivery network caches a body for longer than a listing. It is nil until Info is
// available. A proof that verifies does so all the same; one that does not may be an outdated one:
// try again later.
func (b *Batch) Stale() error {
	if b.stale == nil || !b.complete() {
		return nil
	}
	return b.stale()
}

// Close ends the download and frees its memory. It may be called again. Info stays available if it
// was.
func (b *Batch) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.cancel()
	for range b.filled { // until the goroutine has ended: nothing may use the archive after Close
	}
	b.drained = true
	b.release()
	return nil
}

// run is the filling goroutine. A panic in it would end the process, so it becomes an error, and a
// transient one: it is a bug here and says nothing about the log.
func (b *Batch) run(ctx context.Context) {
	defer close(b.filled)
	defer func() {
		if p := recover(); p != nil {
			b.err = fmt.Errorf("%s: panic: %v", b.content.stored.label, p)
		}
	}()
	defer b.content.close()
	size := bufferSizeFor(b.content.roomFor(), bufferSize)
	for made := 0; b.err == nil; {
		var buffer []byte
		if made < buffersAhead && len(b.free) == 0 {
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
		case b.filled <- buffer[:n]:
		case <-ctx.Done():
			b.err = ctx.Err()
		}
	}
}
