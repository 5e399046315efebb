package wire

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers are as wide as the akd crate takes them, and as long: it reads tags, label_len and the
// lengths of plain fields as 32 bits in at most five bytes, the lengths of messages and the values
// of unknown fields as 64 bits in at most ten. Other decoders cut longer ones off, so that one
// proof could mean two things.
const (
	wide   = 10
	narrow = 5
)

var (
	errEnds   = errors.New("ends within a number")
	errWide   = errors.New("a number of more than 64 bits or ten bytes")
	errNarrow = errors.New("a number of more than 32 bits or five bytes")
)

// number reads a number of at most size bytes, wide or narrow, from the front of b. It returns how
// many bytes that took.
func number(b []byte, size int) (v uint64, n int, err error) {
	last := byte(0x01) // what the last byte may be
	if size == narrow {
		last = 0x0f
	}
	for n < size {
		if n == len(b) {
			return 0, 0, errEnds
		}
		c := b[n]
		if n == size-1 && c > last {
			break
		}
		v |= uint64(c&0x7f) << (7 * n)
		if n++; c < 0x80 {
			return v, n, nil
		}
	}
	if size == narrow {
		return 0, 0, errNarrow
	}
	return 0, 0, errWide
}

// splitTag splits a tag into a field's number and wire type.
func splitTag(v uint64) (protowire.Number, protowire.Type, error) {
	num, wire := protowire.Number(v>>3), protowire.Type(v&7)
	switch {
	case num < protowire.MinValidNumber:
		return 0, 0, fmt.Errorf("%d is no field's tag", v)
	case wire > protowire.Fixed32Type:
		return 0, 0, fmt.Errorf("field %d has the unknown wire type %d", num, wire)
	}
	return num, wire, nil
}

// maxGroups is how deep akd lets groups of unknown fields nest outside all messages. Each message
// around them takes one off.
const maxGroups = 101

// groups are those that are open while an unknown field is skipped.
type groups []protowire.Number

// step opens or ends a group. Groups must end in the order in which they began. akd takes any end
// for that of the innermost one; no encoder writes that, and other decoders refuse it.
func (g *groups) step(num protowire.Number, wire protowire.Type, limit int) error {
	switch {
	case wire == protowire.StartGroupType && len(*g) == limit:
		return errors.New("groups nested too deep")
	case wire == protowire.StartGroupType:
		*g = append(*g, num)
	case wire == protowire.EndGroupType && (len(*g) == 0 || (*g)[len(*g)-1] != num):
		return errors.New("end of a group that was not begun")
	case wire == protowire.EndGroupType:
		*g = (*g)[:len(*g)-1]
	}
	return nil
}
