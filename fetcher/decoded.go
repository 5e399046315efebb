package fetcher

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// storedBuffer is how much a decoder gets at once; reads of S3 bodies return a few kilobytes each.
const storedBuffer = 64 << 10

// decodedReader reads a batch's decompressed bytes and decides what their end means.
type decodedReader struct {
	stored  *storedReader
	options Options

	begun       bool
	notBegun    error
	decoder     io.ReadCloser // nil if the first bytes are wrong already
	frames      *windowReader // what a zstd decoder reads from; nil for others
	compression string
	bytes       int64
	err         error
}

// Read returns io.EOF only after a whole batch, and ErrTooLarge or ErrCorrupt only after all stored
// bytes: while some are missing, a fault of the network is likelier than a corrupt object.
func (d *decodedReader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.decode(p)
	if limit := d.limit(); d.bytes+int64(n) > limit {
		n = int(limit - d.bytes)
		err = fmt.Errorf("%w: more than %d bytes when decompressed", ErrTooLarge, limit)
	}
	d.bytes += int64(n)
	if err != nil {
		d.err = d.classify(err)
	}
	return n, d.err
}

// decode reads from the decoder and returns the decoder's own errors.
func (d *decodedReader) decode(p []byte) (n int, err error) {
	if err := d.begin(); err != nil {
		return 0, err
	}
	return readSome(d.decoder, p)
}

// begin makes the decoder that the first bytes ask for.
func (d *decodedReader) begin() error {
	if !d.begun {
		d.begun = true
		source := bufio.NewReaderSize(d.stored, bufferSizeFor(d.stored.size, storedBuffer))
		d.decoder, d.frames, d.compression, d.notBegun = newDecoder(source, d.window())
	}
	return d.notBegun
}

// roomFor is how many bytes a buffer for all of a small batch has, -1 if that is not known. One
// that is not compressed needs a byte more than it has, to come to its end at once.
func (d *decodedReader) roomFor() int64 {
	err := d.begin()
	switch {
	case d.stored.size < 0:
		return -1
	case err == nil && d.compression == compressionNone:
		return d.stored.size + 1
	}
	return 2 * d.stored.size
}

// classify says what a decoder's error, io.EOF among them, means for the batch.
func (d *decodedReader) classify(err error) error {
	if d.stored.err == nil {
		_, _ = io.Copy(io.Discard, d.stored) // it records its error
	}
	switch {
	case d.stored.err != io.EOF:
		return d.stored.err // the cause of the decoder's error
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%s: %w", d.stored.label, err)
	case d.window() < d.options.MaxWindow && (errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded)):
		// No larger window would help: it claims to unpack to more than it may.
		return fmt.Errorf("%s: claims more than the %d bytes that it may unpack to: %w: %w", d.stored.label, d.limit(), ErrTooLarge, err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded),
		// It may be the lack of what a larger window would hold.
		d.frames != nil && d.frames.lowered && d.bytes > d.frames.window-maxBlock:
		return fmt.Errorf("%s: %w: it makes use of more than the %d bytes that are set aside here: %w", d.stored.label, ErrWindow, d.window(), err)
	}
	return fmt.Errorf("%s: %s: %w: %w", d.stored.label, d.compression, ErrCorrupt, err)
}

// window is the largest window that makes sense: no frame can refer to more than may be unpacked.
func (d *decodedReader) window() int64 {
	most := d.options.MaxBytes
	if d.stored.size >= 0 {
		most = d.limit()
	}
	return min(d.options.MaxWindow, most+2*maxBlock)
}

// limit is how many decompressed bytes are allowed.
func (d *decodedReader) limit() int64 {
	if d.stored.size < 0 {
		return d.options.maxBytes(d.stored.bytes)
	}
	return d.options.maxBytes(d.stored.size)
}

// bufferSizeFor is the size of a buffer for a number of bytes, -1 if that is not known. A log may
// have millions of small batches, which should not pay for large buffers.
func bufferSizeFor(size int64, most int) int {
	if size < 0 {
		return most
	}
	return int(min(max(size, 4<<10), int64(most)))
}

// close frees the decoder.
func (d *decodedReader) close() {
	if d.decoder != nil {
		_ = d.decoder.Close() // Read has reported its errors
	}
}
