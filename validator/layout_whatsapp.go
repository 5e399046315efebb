package validator

import "encoding/binary"

var whatsAppKind = &configurationKind{
	name: "whatsapp_v1",
	newLayout: func(_ string, epoch uint64) layout {
		return &whatsAppLayout{epoch: epoch}
	},
}

// whatsAppLayout hashes labels, so that every message is one BLAKE3 block:
//
//	edge = H(value ‖ H(label)), value of a node = H(left edge ‖ right edge),
//	digest = the root's edge.
type whatsAppLayout struct{ epoch uint64 }

func (*whatsAppLayout) edgeSize() int { return DigestSize }

func (w *whatsAppLayout) leaves(s *sweep) {
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
func (*whatsAppLayout) labels(s *sweep) {
	hashed := s.stage(0, DigestSize*s.nodes)
	hashEach(hashed, DigestSize, s.nodeLabels, s.nodes, 4+labelSize)
}

func (*whatsAppLayout) level(s *sweep, tasks []uint32) {
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

func (*whatsAppLayout) root(edge []byte) Digest { return Digest(edge) }

func (*whatsAppLayout) rootAbove(child []byte, side int) Digest {
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
