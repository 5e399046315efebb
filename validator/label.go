package validator

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// length reads the length in bits of a staged label.
func length(label []byte) int { return int(binary.BigEndian.Uint32(label)) }

// commonPrefix returns how many leading bits two 32-byte labels share.
func commonPrefix(a, b []byte) int {
	for i := 0; i < labelSize; i += 8 {
		if x := binary.BigEndian.Uint64(a[i:]) ^ binary.BigEndian.Uint64(b[i:]); x != 0 {
			return 8*i + bits.LeadingZeros64(x)
		}
	}
	return labelBits
}

// String names two overlapping elements by their place in the proof, counted from 0 over both lists.
func (o *overlap) String() string {
	return fmt.Sprintf("elements %d and %d: one's label is the other's or a prefix of it", o.a, o.b)
}

// labelString writes a label for a human: its bytes up to its length, and the length.
func labelString(label []byte, bits int) string {
	n := min(len(label), (bits+7)/8)
	return fmt.Sprintf("%s/%d", hex.EncodeToString(label[:n]), bits)
}
