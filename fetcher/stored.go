package fetcher

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// storedReader reads a batch's bytes as they are stored, and counts, hashes and archives them. Its
// err is the only reliable record of how the source ended: decoders mix that up with their own
// errors.
type storedReader struct {
	ctx     context.Context
	label   string
	r       io.Reader
	size    int64 // -1: not known
	limit   int64
	archive io.Writer // may be nil
	sum     hash.Hash // of what was read; may be nil

	bytes int64
	err   error // the first one; io.EOF when all bytes were read
}

// hash returns the SHA-256 of what was read, in hexadecimal; empty if it is not hashed.
func (s *storedReader) hash() string {
	if s.sum == nil {
		return ""
	}
	return hex.EncodeToString(s.sum.Sum(nil))
}

// Read never returns 0, nil for a non-empty p.
func (s *storedReader) Read(p []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := readSome(s.r, p)
	s.bytes += int64(n)
	if s.sum != nil {
		s.sum.Write(p[:n])
	}
	if s.archive != nil && n > 0 {
		if _, err := s.archive.Write(p[:n]); err != nil {
			s.err = fmt.Errorf("%s: archiving it: %w", s.label, err)
			return 0, s.err
		}
	}
	switch {
	case s.bytes > s.limit:
		s.err = fmt.Errorf("%s: has more than %d bytes: %w", s.label, s.limit, ErrTooLarge)
	case err == io.EOF && s.size >= 0 && s.bytes != s.size:
		s.err = fmt.Errorf("%s: ended after %d of %d bytes: %w", s.label, s.bytes, s.size, io.ErrUnexpectedEOF)
	default:
		s.err = err
	}
	return n, s.err
}

// readSome is r.Read for a reader that may return nothing, but not for ever.
func readSome(r io.Reader, p []byte) (n int, err error) {
	for range 100 {
		if n, err = r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
