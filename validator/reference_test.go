package validator

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"lukechampine.com/blake3"
)

// A second, slow implementation of the tree, written for the tests from the format's description
// and sharing no code with the one under test, not even the hash library.

// refElement is a node given by a proof, or a leaf of a directory.
type refElement struct {
	label    [32]byte
	bits     int
	value    [32]byte
	inserted bool
}

func (e refElement) bit(i int) int { return int(e.label[i/8]>>(7-i%8)) & 1 }

// refLayout is a configuration, in the words of the format's description.
type refLayout struct{ domain string } // empty: whatsapp_v1

func (l refLayout) hash(parts ...[]byte) []byte {
	h := blake3.Sum256(append([]byte(l.domain), bytes.Join(parts, nil)...))
	return h[:]
}

func (l refLayout) labelValue(label [32]byte, bits int) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(bits)), label[:]...)
	if l.domain == "" {
		return l.hash(b)
	}
	return b
}

func (l refLayout) edge(value []byte, label [32]byte, bits int) []byte {
	b := append(slices.Clone(value), l.labelValue(label, bits)...)
	if l.domain == "" {
		return l.hash(b)
	}
	return b
}

func (l refLayout) absent() []byte {
	var label [32]byte
	if l.domain != "" {
		label[0] = 1
		return l.edge(make([]byte, 32), label, 0)
	}
	for i := range label {
		label[i] = 1
	}
	return l.edge(l.hash(l.hash([]byte{0}), l.labelValue(label, 0)), label, 0)
}

func (l refLayout) leafValue(e refElement, epoch uint64) []byte {
	if !e.inserted {
		return e.value[:]
	}
	return l.hash(e.value[:], binary.BigEndian.AppendUint64(nil, epoch))
}

// node returns the top of the trie over elements (not empty, no overlaps), which share their first
// depth bits.
func (l refLayout) node(elements []refElement, depth int, epoch uint64) (value []byte, label [32]byte, bits int) {
	if len(elements) == 1 {
		e := elements[0]
		return l.leafValue(e, epoch), e.label, e.bits
	}
	var sides [2][]refElement
	for _, e := range elements {
		sides[e.bit(depth)] = append(sides[e.bit(depth)], e)
	}
	for side := range sides {
		if len(sides[side]) == 0 {
			return l.node(elements, depth+1, epoch)
		}
	}
	for i := range depth {
		label[i/8] |= byte(elements[0].bit(i)) << (7 - i%8)
	}
	return l.hash(l.sideEdge(sides[0], depth, epoch), l.sideEdge(sides[1], depth, epoch)), label, depth
}

func (l refLayout) sideEdge(elements []refElement, depth int, epoch uint64) []byte {
	if len(elements) == 0 {
		return l.absent()
	}
	return l.edge(l.node(elements, depth+1, epoch))
}

// digest returns the root hash of the tree of elements.
func (l refLayout) digest(elements []refElement, epoch uint64) Digest {
	var value []byte
	switch {
	case len(elements) > 0:
		var sides [2][]refElement
		for _, e := range elements {
			sides[e.bit(0)] = append(sides[e.bit(0)], e)
		}
		value = l.hash(l.sideEdge(sides[0], 0, epoch), l.sideEdge(sides[1], 0, epoch))
	case l.domain == "":
		value = l.hash([]byte{0})
	default:
		value = make([]byte, 32)
	}
	if l.domain == "" {
		value = l.edge(value, [32]byte{}, 0)
	}
	return Digest(value)
}

// refProof returns an honest log's proof of inserting leaves into a directory: its elements in
// label order.
func (l refLayout) refProof(directory, leaves []refElement, epoch uint64) (Name, []refElement) {
	all := slices.Clone(directory)
	for _, e := range leaves {
		e.inserted = true
		all = append(all, e)
	}
	var proof []refElement
	var walk func(elements []refElement, depth int)
	walk = func(elements []refElement, depth int) {
		if len(elements) == 0 {
			return
		}
		if !slices.ContainsFunc(elements, func(e refElement) bool { return e.inserted }) {
			value, label, bits := l.node(elements, depth, epoch)
			proof = append(proof, refElement{label: label, bits: bits, value: [32]byte(value)})
			return
		}
		if len(elements) == 1 {
			proof = append(proof, elements...)
			return
		}
		for side := range 2 {
			walk(slices.DeleteFunc(slices.Clone(elements), func(e refElement) bool { return e.bit(depth) != side }), depth+1)
		}
	}
	for side := range 2 { // the root is never one of a proof's nodes
		walk(slices.DeleteFunc(slices.Clone(all), func(e refElement) bool { return e.bit(0) != side }), 1)
	}
	return Name{Epoch: epoch, PreviousDigest: l.digest(directory, epoch), Digest: l.digest(all, epoch)}, proof
}

// randomLeaves returns n leaves with different labels; those with crowd > 0 share that many leading
// bits with others.
func randomLeaves(r *rand.Rand, n, crowd int) []refElement {
	leaves := make([]refElement, n)
	seen := map[[32]byte]bool{}
	for i := range leaves {
		e := &leaves[i]
		e.bits = 256
		for {
			fillRandom(r, e.label[:])
			if i > 0 && crowd > 0 {
				other := leaves[r.IntN(i)].label
				for b := range r.IntN(crowd) {
					mask := byte(0x80 >> (b % 8))
					e.label[b/8] = e.label[b/8]&^mask | other[b/8]&mask
				}
			}
			if !seen[e.label] {
				break
			}
		}
		seen[e.label] = true
		fillRandom(r, e.value[:])
	}
	return leaves
}

func fillRandom(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// encode writes elements as akd does: labels without their trailing zero bytes.
func encode(elements []refElement) []byte {
	var proof []byte
	for _, e := range elements {
		proof = appendElement(proof, e, bytes.TrimRight(e.label[:], "\x00"))
	}
	return proof
}

func appendElement(proof []byte, e refElement, labelVal []byte) []byte {
	label := protowire.AppendTag(nil, 1, protowire.BytesType)
	label = protowire.AppendBytes(label, labelVal)
	label = protowire.AppendTag(label, 2, protowire.VarintType)
	label = protowire.AppendVarint(label, uint64(e.bits))
	body := protowire.AppendTag(nil, 1, protowire.BytesType)
	body = protowire.AppendBytes(body, label)
	body = protowire.AppendTag(body, 2, protowire.BytesType)
	body = protowire.AppendBytes(body, e.value[:])
	field := protowire.Number(2)
	if e.inserted {
		field = 1
	}
	proof = protowire.AppendTag(proof, field, protowire.BytesType)
	return protowire.AppendBytes(proof, body)
}
