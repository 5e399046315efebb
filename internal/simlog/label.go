package simlog

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxLength is the length of a leaf's label, in bits.
const maxLength = 256

// label is the bits of a node's label, first bit highest, zero past the label's length.
type label [maxLength / 8]byte

func (l *label) bit(i uint16) byte { return l[i/8] >> (7 - i%8) & 1 }

func (l *label) setBit(i uint16) { l[i/8] |= 0x80 >> (i % 8) }

// prefix returns l with every bit past length cleared.
func (l label) prefix(length uint16) label {
	if length < maxLength {
		l[length/8] &= ^byte(0xff >> (length % 8))
		clear(l[length/8+1:])
	}
	return l
}

func (l *label) compare(other *label) int { return bytes.Compare(l[:], other[:]) }

// common returns how many leading bits a and b share, at most limit.
func common(a, b *label, limit uint16) uint16 {
	for i := 0; i < len(a); i += 8 {
		x := binary.BigEndian.Uint64(a[i:]) ^ binary.BigEndian.Uint64(b[i:])
		if x != 0 {
			return min(limit, uint16(8*i+bits.LeadingZeros64(x)))
		}
	}
	return limit
}
