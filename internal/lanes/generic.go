package lanes

import (
	"encoding/binary"
	"math/bits"
)

// initialValue is BLAKE3's, which it shares with SHA-256. It is a variable because the compiler
// carries constants through the additions of the first rounds and computes sums both with and
// without them: a third of all instructions.
var initialValue = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// The flags of a block: it is the first one of its chunk, or the last one. Of a message that is one
// chunk, the last block is that of the root (8).
const (
	firstBlock = 1
	lastBlock  = 2 | 8
)

// compress makes the chaining value of a block the one for the next, or the hash. The block has
// blockLen bytes, the others of m are zero.
//
// The rounds are written out, with the message words in the order in which each round sees them,
// because that leaves the compiler nothing to index and nothing to check. It reads the words from
// memory where they are needed: the sixteen words of the state are as many as there are registers.
func compress(cv *[8]uint32, m *[64]byte, blockLen, flags uint32) {
	iv := &initialValue
	v0, v1, v2, v3, v4, v5, v6, v7 := cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7]
	v8, v9, v10, v11 := iv[0], iv[1], iv[2], iv[3]
	var v12, v13, v14, v15 uint32 = 0, 0, blockLen, flags

	// Round 1.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 0), word(m, 1))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 2), word(m, 3))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 4), word(m, 5))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 6), word(m, 7))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 8), word(m, 9))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 10), word(m, 11))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 12), word(m, 13))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 14), word(m, 15))

	// Round 2.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 2), word(m, 6))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 3), word(m, 10))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 7), word(m, 0))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 4), word(m, 13))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 1), word(m, 11))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 12), word(m, 5))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 9), word(m, 14))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 15), word(m, 8))

	// Round 3.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 3), word(m, 4))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 10), word(m, 12))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 13), word(m, 2))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 7), word(m, 14))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 6), word(m, 5))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 9), word(m, 0))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 11), word(m, 15))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 8), word(m, 1))

	// Round 4.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 10), word(m, 7))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 12), word(m, 9))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 14), word(m, 3))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 13), word(m, 15))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 4), word(m, 0))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 11), word(m, 2))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 5), word(m, 8))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 1), word(m, 6))

	// Round 5.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 12), word(m, 13))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 9), word(m, 11))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 15), word(m, 10))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 14), word(m, 8))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 7), word(m, 2))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 5), word(m, 3))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 0), word(m, 1))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 6), word(m, 4))

	// Round 6.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 9), word(m, 14))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 11), word(m, 5))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 8), word(m, 12))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 15), word(m, 1))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 13), word(m, 3))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 0), word(m, 10))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 2), word(m, 6))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 4), word(m, 7))

	// Round 7.
	v0, v4, v8, v12 = mix(v0, v4, v8, v12, word(m, 11), word(m, 15))
	v1, v5, v9, v13 = mix(v1, v5, v9, v13, word(m, 5), word(m, 0))
	v2, v6, v10, v14 = mix(v2, v6, v10, v14, word(m, 1), word(m, 9))
	v3, v7, v11, v15 = mix(v3, v7, v11, v15, word(m, 8), word(m, 6))
	v0, v5, v10, v15 = mix(v0, v5, v10, v15, word(m, 14), word(m, 10))
	v1, v6, v11, v12 = mix(v1, v6, v11, v12, word(m, 2), word(m, 12))
	v2, v7, v8, v13 = mix(v2, v7, v8, v13, word(m, 3), word(m, 4))
	v3, v4, v9, v14 = mix(v3, v4, v9, v14, word(m, 7), word(m, 13))

	*cv = [8]uint32{v0 ^ v8, v1 ^ v9, v2 ^ v10, v3 ^ v11, v4 ^ v12, v5 ^ v13, v6 ^ v14, v7 ^ v15}
}

// mix is BLAKE3's mixing function, on a column or a diagonal of the state and two message words. It
// adds the word first: b is what the column has been waiting for, and comes last.
func mix(a, b, c, d, x, y uint32) (uint32, uint32, uint32, uint32) {
	a += x
	a += b
	d = bits.RotateLeft32(d^a, -16)
	c += d
	b = bits.RotateLeft32(b^c, -12)
	a += y
	a += b
	d = bits.RotateLeft32(d^a, -8)
	c += d
	b = bits.RotateLeft32(b^c, -7)
	return a, b, c, d
}

// word returns message word i.
func word(m *[64]byte, i int) uint32 { return binary.LittleEndian.Uint32(m[4*i:]) }
