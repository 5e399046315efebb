package validator

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	labelSize = 32  // bytes of a label
	labelBits = 256 // bits of a label
)

// label is a node's label: its first length bits, from the highest of the first word on. The others
// are zero.
type label struct {
	words  [labelSize / 8]uint64
	length int32
}

// put writes the label as it is hashed: length, big-endian, and 32 bytes. It is putPrefix of all of
// the label without the masks, which would cost a large proof of long labels some 5 %.
func (l *label) put(b []byte) {
	_ = b[4+labelSize-1]
	binary.BigEndian.PutUint32(b, uint32(l.length))
	binary.BigEndian.PutUint64(b[4:], l.words[0])
	if l.length <= 64 {
		clear(b[12 : 4+labelSize])
		return
	}
	for i := 1; i < len(l.words); i++ {
		binary.BigEndian.PutUint64(b[4+8*i:], l.words[i])
	}
}

// side is the label's first bit: below which side of the root it is.
func (l *label) side() int { return int(l.words[0] >> 63) }

// putPrefix writes, as put does, the label of the node above l at a depth.
func (l *label) putPrefix(b []byte, depth int32) {
	_ = b[4+labelSize-1]
	binary.BigEndian.PutUint32(b, uint32(depth))
	binary.BigEndian.PutUint64(b[4:], l.words[0]&leading(int(depth)))
	if depth <= 64 { // nearly always: a tree of random labels is no deeper
		clear(b[12 : 4+labelSize])
		return
	}
	for i := 1; i < len(l.words); i++ {
		binary.BigEndian.PutUint64(b[4+8*i:], l.words[i]&leading(int(depth)-64*i))
	}
}

// leading returns a word whose first n bits are set, all if there are more.
func leading(n int) uint64 { return ^(^uint64(0) >> uint(max(n, 0))) }

// commonPrefix returns how many leading bits two labels share, whatever their lengths.
func (l *label) commonPrefix(o *label) int32 {
	for i := range l.words {
		if x := l.words[i] ^ o.words[i]; x != 0 {
			return int32(64*i + bits.LeadingZeros64(x))
		}
	}
	return labelBits
}

// String names two overlapping elements by their place in the proof, counted from 0 over both
// lists.
func (o *overlap) String() string {
	return fmt.Sprintf("elements %d and %d: one's label is the other's or a prefix of it", o.a, o.b)
}
