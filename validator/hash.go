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
