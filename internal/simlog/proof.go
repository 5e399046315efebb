package simlog

import (
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// proof is what a log publishes for an epoch, read off the tree as it stands after that epoch. The
// other fields are for proofs that are not honest.
type proof struct {
	tree  *tree
	epoch uint64
	batch []insertion // what the epoch inserted, in the order of labels

	unchanged []child      // more elements to pass off as unchanged
	hidden    map[int]bool // insertions to leave out, by index in batch
	twice     map[int]bool // insertions to list twice
	tail      []byte       // follows the elements
}

// counts is how much a proof holds.
type counts struct {
	Inserted  int
	Unchanged int
	Bytes     int64
}

// The fields of a proof's messages.
const (
	fieldInserted  protowire.Number = 1
	fieldUnchanged protowire.Number = 2
	fieldLabel     protowire.Number = 1
	fieldValue     protowire.Number = 2
	fieldBits      protowire.Number = 1
	fieldLength    protowire.Number = 2
)

// encoder writes elements one at a time, so that no proof is ever in memory as a whole.
type encoder struct {
	w      io.Writer
	buffer []byte
	counts counts
	err    error
}

// write streams the proof's encoding: the inserted elements, then the unchanged ones, each list
// with the half of the tree first whose labels begin with 1, and ascending within a half. That is
// the order of akd on two or more cores.
func (p *proof) write(w io.Writer) (counts, error) {
	e := &encoder{w: w}
	halves := [2]uint32{p.tree.root().kids[1], p.tree.root().kids[0]}

	// Both walks reach the new leaves of a half in the order of the batch, in which the half with 0
	// comes first.
	split := 0
	for split < len(p.batch) && p.batch[split].label.bit(0) == 0 {
		split++
	}
	for i, next := range [2]int{split, 0} {
		if halves[i] != none {
			p.inserted(e, p.tree.nodes.at(halves[i]), &next)
		}
	}
	for _, half := range halves {
		if half != none {
			p.kept(e, p.tree.nodes.at(half))
		}
	}
	for i := range p.unchanged {
		e.unchanged(&p.unchanged[i])
	}
	e.put(p.tail)
	return e.counts, e.err
}

func (p *proof) inserted(e *encoder, n *node, next *int) {
	switch {
	case n.epoch != p.epoch || e.err != nil:
	case n.interior():
		for _, kid := range n.kids {
			p.inserted(e, p.tree.nodes.at(kid), next)
		}
	default:
		i := *next
		*next++
		element := p.tree.element(n)
		element.value = p.batch[i].commitment
		if !p.hidden[i] {
			e.inserted(&element)
		}
		if p.twice[i] {
			e.inserted(&element)
		}
	}
}

func (p *proof) kept(e *encoder, n *node) {
	switch {
	case e.err != nil:
	case n.epoch != p.epoch:
		element := p.tree.element(n)
		e.unchanged(&element)
	case n.interior():
		for _, kid := range n.kids {
			p.kept(e, p.tree.nodes.at(kid))
		}
	}
}

func (e *encoder) inserted(c *child) {
	e.counts.Inserted++
	e.element(fieldInserted, c)
}

func (e *encoder) unchanged(c *child) {
	e.counts.Unchanged++
	e.element(fieldUnchanged, c)
}

// element writes one element, its label without trailing zero bytes.
func (e *encoder) element(field protowire.Number, c *child) {
	shown := len(c.label)
	for shown > 0 && c.label[shown-1] == 0 {
		shown--
	}
	labelSize := protowire.SizeTag(fieldBits) + protowire.SizeBytes(shown) +
		protowire.SizeTag(fieldLength) + protowire.SizeVarint(uint64(c.length))
	size := protowire.SizeTag(fieldLabel) + protowire.SizeBytes(labelSize) +
		protowire.SizeTag(fieldValue) + protowire.SizeBytes(len(c.value))

	b := protowire.AppendTag(e.buffer[:0], field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, fieldLabel, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(labelSize))
	b = protowire.AppendTag(b, fieldBits, protowire.BytesType)
	b = protowire.AppendBytes(b, c.label[:shown])
	b = protowire.AppendTag(b, fieldLength, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(c.length))
	b = protowire.AppendTag(b, fieldValue, protowire.BytesType)
	b = protowire.AppendBytes(b, c.value[:])
	e.buffer = b
	e.put(b)
}

func (e *encoder) put(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
		e.counts.Bytes += int64(len(b))
	}
}
