package validator

import (
	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/zeebo/blake3"
)

// hash returns the BLAKE3 hash of the parts' concatenation.
func hash(parts ...[]byte) [DigestSize]byte {
	var message [512]byte
	m := message[:0]
	for _, p := range parts {
		m = append(m, p...)
	}
	return blake3.Sum256(m)
}

// hashEach hashes n messages of the given length, at most 64 bytes, which begin every 64 bytes of
// src and are padded with zeros. The hashes go to dst, one every stride bytes.
func hashEach(dst []byte, stride int, src []byte, n, length int) {
	lanes.HashStrided(dst, stride, src, 64, n, length)
}

// hashAt hashes the messages of the given length at the given offsets of b, in place.
func hashAt(b []byte, offsets []uint32, length int) {
	lanes.Hash(b, offsets, b, offsets, length)
}

// messages are put together from parts, and then hashed together. The zero value is ready for use.
type messages struct {
	length int      // of each
	staged []byte   // one after the other, each padded with zeros to whole blocks
	places []uint32 // where the hashes go
	from   []uint32 // where the messages begin
}

// add has the hash of domain ‖ a ‖ b written to dst[at:], at the latest by hash. Between two calls
// of hash, all messages are of one length.
func (m *messages) add(dst []byte, at uint32, domain, a, b []byte) {
	m.length = len(domain) + len(a) + len(b)
	if m.length > lanes.MaxLen {
		h := hash(domain, a, b)
		copy(dst[at:], h[:])
		return
	}
	if len(m.places) == batch {
		m.hash(dst)
	}
	begin := len(m.staged)
	end := begin + (m.length+lanes.Block-1)/lanes.Block*lanes.Block
	if cap(m.staged) < end {
		m.staged = append(make([]byte, 0, batch*(end-begin)), m.staged...)
	}
	m.staged = m.staged[:end]
	message := m.staged[begin:]
	n := copy(message, domain)
	n += copy(message[n:], a)
	n += copy(message[n:], b)
	clear(message[n:])
	m.from, m.places = append(m.from, uint32(begin)), append(m.places, at)
}

// hash hashes what is staged.
func (m *messages) hash(dst []byte) {
	if len(m.places) == 0 {
		return
	}
	lanes.Hash(dst, m.places, m.staged, m.from, m.length)
	m.staged, m.places, m.from = m.staged[:0], m.places[:0], m.from[:0]
}
