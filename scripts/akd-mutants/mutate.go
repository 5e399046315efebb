package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
)

// node is a field of a message, with how it is to be written.
type node struct {
	num, wire uint64
	value     uint64  // of a varint
	data      []byte  // of a field of any other kind without kids
	kids      []*node // of a message or a group
	end       int64   // a group's end has the number num + end; noEnd: none

	tagSize, sizeSize, valueSize int    // bytes that numbers take at least
	tagBits, sizeBits            uint64 // bits set besides
}

const (
	varintType, fixed64Type, bytesType, groupType, endType, fixed32Type = 0, 1, 2, 3, 4, 5

	noEnd = -1 << 40
)

func appendNumber(b []byte, v uint64, size int) []byte {
	for n := 1; v >= 0x80 || n < size; n++ {
		b, v = append(b, byte(v)|0x80), v>>7
	}
	return append(b, byte(v))
}

func (n *node) append(b []byte) []byte {
	b = appendNumber(b, n.num<<3|n.wire|n.tagBits, n.tagSize)
	body := n.data
	if n.kids != nil {
		body = encode(n.kids)
	}
	switch n.wire {
	case varintType:
		return appendNumber(b, n.value, n.valueSize)
	case bytesType:
		b = appendNumber(b, uint64(len(body))|n.sizeBits, n.sizeSize)
	case groupType:
		b = append(b, body...)
		if n.end != noEnd {
			b = appendNumber(b, uint64(int64(n.num)+n.end)<<3|endType, 1)
		}
		return b
	}
	return append(b, body...)
}

func encode(nodes []*node) (b []byte) {
	for _, n := range nodes {
		b = n.append(b)
	}
	return b
}

// element is what a proof says of one node of the tree.
type element struct {
	inserted bool
	bits     int
	label    [32]byte
	value    [32]byte
}

func (e element) node(r *rand.Rand) *node {
	label := e.label[:]
	if r.IntN(4) > 0 { // akd writes no trailing zeros
		label = bytes.TrimRight(label, "\x00")
	}
	num := uint64(2)
	if e.inserted {
		num = 1
	}
	return &node{num: num, wire: bytesType, kids: []*node{
		{num: 1, wire: bytesType, kids: []*node{
			{num: 1, wire: bytesType, data: slices.Clone(label)},
			{num: 2, wire: varintType, value: uint64(e.bits)},
		}},
		{num: 2, wire: bytesType, data: slices.Clone(e.value[:])},
	}}
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// cut clears the bits past a label's length.
func (e *element) cut() {
	for b := e.bits; b < 256; b++ {
		e.label[b/8] &^= 0x80 >> (b % 8)
	}
}

func (e element) covers(o element) bool {
	if e.bits > o.bits {
		return false
	}
	o.bits = e.bits
	o.cut()
	e.cut()
	return o.label == e.label
}

// tree returns elements as an honest proof may have them: none covers another. Whatever their
// values, akd computes digests that they are consistent with.
func tree(r *rand.Rand) (elements []element) {
	crowd := []int{0, 0, 10, 100, 250}[r.IntN(5)]
	for range r.IntN(24) {
		e := element{inserted: r.IntN(2) == 0, bits: 256}
		fill(r, e.value[:])
		fill(r, e.label[:])
		if len(elements) > 0 && crowd > 0 {
			other := elements[r.IntN(len(elements))].label
			for b := range r.IntN(crowd) {
				mask := byte(0x80 >> (b % 8))
				e.label[b/8] = e.label[b/8]&^mask | other[b/8]&mask
			}
		}
		if !e.inserted && r.IntN(4) > 0 {
			e.bits = 1 + r.IntN(256)
			if r.IntN(2) == 0 {
				e.bits = 1 + r.IntN(12)
			}
		}
		e.cut()
		if !slices.ContainsFunc(elements, func(o element) bool { return e.covers(o) || o.covers(e) }) {
			elements = append(elements, e)
		}
	}
	// akd's own order, most of the time
	if r.IntN(4) > 0 {
		slices.SortStableFunc(elements, func(a, b element) int {
			switch {
			case a.inserted == b.inserted:
				return 0
			case a.inserted:
				return -1
			}
			return 1
		})
	}
	return elements
}

// changeTree makes a tree of which one element is not as in an honest one.
func changeTree(r *rand.Rand, elements []element) ([]element, string) {
	if len(elements) == 0 {
		return elements, "empty"
	}
	at := r.IntN(len(elements))
	e := elements[at]
	kind := ""
	switch r.IntN(8) {
	case 0:
		kind = "same element twice"
	case 1:
		kind = "same label twice"
		fill(r, e.value[:])
	case 2:
		kind = "label in both lists"
		e.inserted = !e.inserted
		fill(r, e.value[:])
	case 3:
		kind = "node above another"
		e.inserted, e.bits = false, r.IntN(e.bits+1)
		e.cut()
		fill(r, e.value[:])
	case 4:
		kind = "node below another"
		if e.bits < 256 {
			e.bits += 1 + r.IntN(256-e.bits)
		}
		e.inserted = e.bits == 256 && r.IntN(2) == 0
		fill(r, e.value[:])
	case 5:
		kind = "short inserted label"
		elements[at].inserted, elements[at].bits = true, r.IntN(256)
		elements[at].cut()
		return elements, kind
	case 6:
		kind = "bit past the length"
		if elements[at].bits > 255 {
			elements[at].bits = 1 + r.IntN(255)
			elements[at].inserted = false
		}
		bit := elements[at].bits + r.IntN(256-elements[at].bits)
		elements[at].label[bit/8] |= 0x80 >> (bit % 8)
		return elements, kind
	case 7:
		kind = "root's label"
		e.inserted, e.bits, e.label = r.IntN(2) == 0, 0, [32]byte{}
	}
	return slices.Insert(elements, r.IntN(len(elements)+1), e), kind
}

// pick returns a field at random, with the list that it is in.
func pick(r *rand.Rand, proof *[]*node) (list *[]*node, at int) {
	list, at = proof, r.IntN(len(*proof))
	for n := (*list)[at]; n.wire == bytesType && len(n.kids) > 0 && r.IntN(3) > 0; n = (*list)[at] {
		list, at = &n.kids, r.IntN(len(n.kids))
	}
	return list, at
}

// unknown returns a field that the messages do not have.
func unknown(r *rand.Rand) *node {
	n := &node{num: []uint64{3, 4, 15, 16, 100, 1<<29 - 1}[r.IntN(6)]}
	n.tagSize = r.IntN(7)
	switch n.wire = []uint64{0, 1, 2, 3, 3, 5}[r.IntN(6)]; n.wire {
	case varintType:
		n.value, n.valueSize = r.Uint64()>>r.IntN(64), r.IntN(12)
	case fixed64Type:
		n.data = binary.LittleEndian.AppendUint64(nil, r.Uint64())
	case fixed32Type:
		n.data = binary.LittleEndian.AppendUint32(nil, r.Uint32())
	case bytesType:
		n.data, n.sizeSize = make([]byte, r.IntN(200)), r.IntN(7)
	case groupType:
		if depth := 95 + r.IntN(9); r.IntN(3) == 0 { // this deep
			for ; depth > 0; depth-- {
				n = &node{num: 3, wire: groupType, kids: []*node{n}}
			}
		} else if r.IntN(2) == 0 {
			n.kids = []*node{unknown(r), {num: 1, wire: varintType}}
		}
		if r.IntN(4) == 0 {
			n.end = []int64{1, 1, noEnd}[r.IntN(3)]
		}
	}
	return n
}

// changeEncoding changes how one field is written, or adds or removes one.
func changeEncoding(r *rand.Rand, proof *[]*node) string {
	if len(*proof) == 0 {
		*proof = append(*proof, unknown(r))
		return "unknown field"
	}
	list, at := pick(r, proof)
	n := (*list)[at]
	switch r.IntN(14) {
	case 0, 1:
		n.tagSize = 1 + r.IntN(11)
		return "width of a tag"
	case 2, 3:
		n.sizeSize, n.valueSize = 1+r.IntN(11), 1+r.IntN(11)
		return "width of a number"
	case 4:
		n.tagBits = 1 << (3 + r.IntN(61))
		return "number of a field"
	case 5:
		n.sizeBits, n.value = 1<<r.IntN(64), n.value|1<<r.IntN(64)
		return "bit of a number"
	case 6, 7:
		*list = slices.Insert(*list, r.IntN(len(*list)+1), unknown(r))
		return "unknown field"
	case 8:
		again := *n
		again.kids = slices.Clone(n.kids)
		if r.IntN(2) == 0 && len(again.data) > 0 {
			again.data = slices.Clone(again.data)
			again.data[r.IntN(len(again.data))] ^= 1
		}
		*list = slices.Insert(*list, r.IntN(len(*list)+1), &again)
		return "field twice"
	case 9:
		r.Shuffle(len(*list), func(i, j int) { (*list)[i], (*list)[j] = (*list)[j], (*list)[i] })
		return "order of fields"
	case 10:
		*list = slices.Delete(*list, at, at+1)
		return "field missing"
	case 11:
		n.wire = r.Uint64N(8)
		return "wire type"
	case 12:
		if n.kids == nil && r.IntN(2) == 0 {
			n.data = append(n.data, make([]byte, 1+r.IntN(3))...)
			return "longer field"
		}
		if len(n.data) > 0 {
			n.data = n.data[:len(n.data)-1]
		}
		return "shorter field"
	default:
		if len(n.kids) < 2 {
			return "nothing"
		}
		if r.IntN(20) == 0 {
			n.kids = append(n.kids, &node{num: 9, wire: bytesType, data: make([]byte, 60<<10+r.IntN(8<<10))})
			return "much padding"
		}
		other := *n // one message in two parts
		cut := 1 + r.IntN(len(n.kids)-1)
		n.kids, other.kids = n.kids[:cut:cut], n.kids[cut:]
		*list = slices.Insert(*list, at+1, &other)
		return "message in two parts"
	}
}

// mutant returns a proof, and what was changed in it.
func mutant(r *rand.Rand) ([]byte, []string) {
	var changes []string
	elements := tree(r)
	if r.IntN(3) == 0 {
		var change string
		elements, change = changeTree(r, elements)
		changes = append(changes, change)
	}
	proof := make([]*node, 0, len(elements))
	for _, e := range elements {
		proof = append(proof, e.node(r))
	}
	if len(changes) == 0 || r.IntN(4) == 0 {
		for range 1 + r.IntN(2) {
			changes = append(changes, changeEncoding(r, &proof))
		}
	}
	data := encode(proof)
	if r.IntN(50) == 0 && len(data) > 0 {
		return data[:r.IntN(len(data))], append(changes, "cut short")
	}
	return data, changes
}
