package validator

import "encoding/binary"

var experimentalKind = &configurationKind{
	name:        "experimental",
	takesDomain: true,
	newLayout: func(domain string, epoch uint64) layout {
		return &experimentalLayout{domain: []byte(domain), epoch: epoch}
	},
}

// experimentalLayout begins each message with a domain label and does not hash tree labels:
//
//	edge = value ‖ length ‖ label, value of a node = H(domain ‖ left edge ‖ right edge),
//	digest = the root's value.
//
// Its messages are longer than one block, and lie nowhere in one piece.
type experimentalLayout struct {
	domain []byte
	epoch  uint64
}

func (*experimentalLayout) edgeSize() int { return DigestSize + 4 + labelSize }

func (x *experimentalLayout) leaves(edges []byte, s *leaves, m *messages) {
	size := x.edgeSize()
	var epoch [8]byte
	binary.BigEndian.PutUint64(epoch[:], x.epoch)
	for _, at := range s.inserted {
		m.add(s.nodes[:], at, x.domain, s.nodes[at:at+DigestSize], epoch[:])
	}
	m.hash(s.nodes[:])
	for i := range s.count {
		edge := edges[i*size:]
		*(*[DigestSize]byte)(edge) = [DigestSize]byte(s.nodes[64*i:])
		*(*[4 + labelSize]byte)(edge[DigestSize:]) = [4 + labelSize]byte(s.labels[64*i:])
	}
}

func (*experimentalLayout) labelSize() int { return 4 + labelSize }

func (x *experimentalLayout) labels(prepared, staged []byte, n int) {
	for i := range n {
		*(*[4 + labelSize]byte)(prepared[i*x.labelSize():]) = [4 + labelSize]byte(staged[64*i:])
	}
}

func (x *experimentalLayout) level(s *sweep, tasks []task) {
	for i := range tasks {
		t := &tasks[i]
		s.messages.add(s.edges, uint32(t.edge), x.domain, s.edge(t.left), s.edge(t.right))
		*(*[4 + labelSize]byte)(s.edges[t.edge+DigestSize:]) = [4 + labelSize]byte(s.labels[int(t.label)*x.labelSize():])
	}
	s.messages.hash(s.edges)
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
