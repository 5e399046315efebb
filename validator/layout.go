package validator

import (
	"encoding/binary"
)

// A layout is how a configuration hashes. An edge is what a parent hashes of a child: all that the tree above needs to
// know of a node.
type layout interface {
	// edgeSize is the length of an edge in bytes.
	edgeSize() int
	// leaves makes the edges of all staged leaves, in rows firstLeaf and following.
	leaves(s *sweep)
	// labels prepares the staged labels of interior nodes for level.
	labels(s *sweep)
	// level makes the edges of tasks, whose children's edges are made and whose rows follow each other.
	level(s *sweep, tasks []uint32)
	// root returns the digest of a tree whose root has the given edge.
	root(edge []byte) Digest
	// rootAbove returns the digest of a tree whose root has one child, on the given side, or no child (nil).
	rootAbove(child []byte, side int) Digest
}

func newLayout(c Configuration, epoch uint64) layout {
	if c.name == whatsAppV1 {
		return &whatsApp{epoch: epoch}
	}
	return &experimentalLayout{domain: []byte(c.domain), epoch: epoch}
}

// whatsApp hashes labels, so that every message is one BLAKE3 block: edge = H(value ‖ H(label)), value of a node =
// H(left edge ‖ right edge), digest = the root's edge.
type whatsApp struct{ epoch uint64 }

func (*whatsApp) edgeSize() int { return DigestSize }

func (w *whatsApp) leaves(s *sweep) {
	for _, at := range s.inserted {
		m := s.leafNodes[at : at+64]
		binary.BigEndian.PutUint64(m[DigestSize:], w.epoch)
		clear(m[DigestSize+8:])
	}
	hashAt(s.leafNodes, s.inserted, DigestSize+8)
	hashEach(s.leafNodes[DigestSize:], 64, s.leafLabels, s.leaves, 4+labelSize)
	hashEach(s.edges[s.firstLeaf*DigestSize:], DigestSize, s.leafNodes, s.leaves, 64)
}

// labels hashes the labels of interior nodes: both trees use them.
func (*whatsApp) labels(s *sweep) {
	hashed := s.stage(0, DigestSize*s.nodes)
	hashEach(hashed, DigestSize, s.nodeLabels, s.nodes, 4+labelSize)
}

func (*whatsApp) level(s *sweep, tasks []uint32) {
	labels := s.staged[0]
	pairs, nodes := s.stage(1, 64*len(tasks)), s.stage(2, 64*len(tasks))
	for i, t := range tasks {
		t := &s.tasks[t]
		pair := pairs[64*i : 64*i+64]
		copy(pair[:DigestSize], s.edge(t.left))
		copy(pair[DigestSize:], s.edge(t.right))
		copy(nodes[64*i+DigestSize:64*i+64], labels[DigestSize*t.label:])
	}
	hashEach(nodes, 64, pairs, len(tasks), 64)
	hashEach(s.edge(tasks[0])[:DigestSize*len(tasks)], DigestSize, nodes, len(tasks), 64)
}

func (*whatsApp) root(edge []byte) Digest { return Digest(edge) }

func (*whatsApp) rootAbove(child []byte, side int) Digest {
	rootLabel := hash(make([]byte, 4+labelSize))
	value := hash([]byte{0}) // of an empty root
	if child != nil {
		var absentLabel [4 + labelSize]byte
		for i := range labelSize {
			absentLabel[4+i] = 1
		}
		l := hash(absentLabel[:])
		empty := hash([]byte{0})
		absentValue := hash(empty[:], l[:])
		absent := hash(absentValue[:], l[:])
		value = hash(pair(child, absent[:], side)...)
	}
	return hash(value[:], rootLabel[:])
}

// experimentalLayout hashes a domain label first and does not hash tree labels: edge = value ‖ length ‖ label, value =
// H(domain ‖ left edge ‖ right edge), digest = the root's value. Its messages are longer than one block.
type experimentalLayout struct {
	domain []byte
	epoch  uint64
}

func (*experimentalLayout) edgeSize() int { return DigestSize + 4 + labelSize }

func (x *experimentalLayout) leaves(s *sweep) {
	size := x.edgeSize()
	var epoch [8]byte
	binary.BigEndian.PutUint64(epoch[:], x.epoch)
	for _, at := range s.inserted {
		value := s.leafNodes[at : at+DigestSize]
		h := hash(x.domain, value, epoch[:])
		copy(value, h[:])
	}
	for i := range s.leaves {
		edge := s.edges[(s.firstLeaf+i)*size:]
		copy(edge, s.leafNodes[64*i:64*i+DigestSize])
		copy(edge[DigestSize:], s.leafLabels[64*i:64*i+4+labelSize])
	}
}

func (*experimentalLayout) labels(*sweep) {}

func (x *experimentalLayout) level(s *sweep, tasks []uint32) {
	for _, t := range tasks {
		t := &s.tasks[t]
		value := hash(x.domain, s.edge(t.left), s.edge(t.right))
		edge := s.edges[int(t.row)*x.edgeSize():]
		copy(edge, value[:])
		copy(edge[DigestSize:], s.nodeLabels[64*t.label:64*t.label+4+labelSize])
	}
}

func (*experimentalLayout) root(edge []byte) Digest { return Digest(edge[:DigestSize]) }

func (x *experimentalLayout) rootAbove(child []byte, side int) Digest {
	if child == nil {
		return Digest{}
	}
	absent := make([]byte, x.edgeSize()) // value 32 zeros, length 0, label 01 00 … 00
	absent[DigestSize+4] = 1
	return hash(append([][]byte{x.domain}, pair(child, absent, side)...)...)
}

func pair(child, absent []byte, side int) [][]byte {
	if side == 0 {
		return [][]byte{child, absent}
	}
	return [][]byte{absent, child}
}
