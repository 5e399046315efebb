package fetcher

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// storedBuffer is how much a decoder is given at once; S3 bodies come in pieces of a few kilobytes.
const storedBuffer = 64 << 10

// decoded reads a batch's decompressed bytes, and judges how they end.
type decoded struct {
	stored  *stored
	options Options

	begun       bool
	decoder     io.ReadCloser // nil if the first bytes already were wrong
	compression string
	bytes       int64
	err         error
}

// Read returns io.EOF only after a whole batch. A finding, ErrTooLarge or ErrCorrupt, comes only after all stored bytes
// have come: as long as some are missing, a fault on their way is likelier than a corrupt object.
func (d *decoded) Read(p []byte) (int, error) {
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
		d.err = d.judge(err)
	}
	return n, d.err
}

// decode reads from the decoder, which may fail in any way it likes.
func (d *decoded) decode(p []byte) (n int, err error) {
	if !d.begun {
		d.begun = true
		source := bufio.NewReaderSize(d.stored, sizedFor(d.stored.size, storedBuffer))
		if d.decoder, d.compression, err = newDecoder(source, d.options); err != nil {
			return 0, err
		}
	}
	return readSome(d.decoder, p)
}

// judge says what a decoder's error, io.EOF among them, means for the batch.
func (d *decoded) judge(err error) error {
	if d.stored.err == nil {
		_, _ = io.Copy(io.Discard, d.stored) // it records its error
	}
	switch {
	case d.stored.err != io.EOF:
		return d.stored.err // whatever the decoder made of that
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%s: %w", d.stored.label, err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%s: %w: %w: %w: limit %d", d.stored.label, ErrTooLarge, ErrWindow, err, d.options.MaxWindow)
	}
	return fmt.Errorf("%s: %s: %w: %w", d.stored.label, d.compression, ErrCorrupt, err)
}

// limit is how many decompressed bytes are allowed.
func (d *decoded) limit() int64 {
	if d.stored.size < 0 {
		return d.options.maxBytes(d.stored.bytes)
	}
	return d.options.maxBytes(d.stored.size)
}

// sizedFor is the size of a buffer for a number of bytes, -1 if that isn't known. A small batch, of which a log has
// millions, should not pay for large buffers.
func sizedFor(size int64, most int) int {
	if size < 0 {
		return most
	}
	return int(min(max(size, 4<<10), int64(most)))
}

// close frees the decoder.
func (d *decoded) close() {
	if d.decoder != nil {
		_ = d.decoder.Close() // what it has to say was said by Read
	}
}
