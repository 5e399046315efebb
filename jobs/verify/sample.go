package verify

import (
	"bytes"
	"io"
)

// Sample keeps the bytes of a proof that has no more than Max. A nil Sample keeps nothing.
type Sample struct {
	Max   int64
	proof bytes.Buffer
	whole bool
}

// Whole reports whether all of the proof was kept that was read last.
func (s *Sample) Whole() bool { return s.whole }

// Proof returns the bytes that were kept.
func (s *Sample) Proof() []byte { return s.proof.Bytes() }

// of returns the reader of a proof of at most so many bytes, to be read from its beginning.
func (s *Sample) of(proof io.Reader, size int64) io.Reader {
	if s == nil {
		return proof
	}
	s.proof.Reset()
	if s.whole = size <= s.Max; !s.whole {
		return proof
	}
	return io.TeeReader(proof, &s.proof)
}
