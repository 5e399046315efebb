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

// String names two overlapping elements by their place in the proof, counted from 0 over both
// lists.
func (o *overlap) String() string {
	return fmt.Sprintf("elements %d and %d: one's label is the other's or a prefix of it", o.a, o.b)
}
