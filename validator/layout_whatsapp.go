package validator

import (
	"encoding/binary"

	"github.com/ktaudit/ktaudit/internal/lanes"
)

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

func (w *whatsAppLayout) leaves(edges []byte, s *leaves, _ *messages) {
	for _, at := range s.inserted {
		m := s.nodes[at : at+64]
		binary.BigEndian.PutUint64(m[DigestSize:], w.epoch)
		clear(m[DigestSize+8:])
	}
	hashAt(s.nodes[:], s.inserted, DigestSize+8)
	hashEach(s.nodes[DigestSize:], 64, s.labels[:], s.count, 4+labelSize)
	hashEach(edges, DigestSize, s.nodes[:], s.count, 64)
}

func (*whatsAppLayout) labelSize() int { return DigestSize }

// labels hashes the labels of interior nodes: both trees use them.
func (*whatsAppLayout) labels(prepared, staged []byte, n int) {
	hashEach(prepared, DigestSize, staged, n, 4+labelSize)
}

func (*whatsAppLayout) level(s *sweep, tasks []task) {
	p := &s.pairs
	for len(tasks) > 0 {
		n := min(len(tasks), len(p.left))
		for i := range tasks[:n] {
			t := &tasks[i]
			p.left[i], p.right[i], p.edge[i] = uint32(t.left), uint32(t.right), uint32(t.edge)
			p.label[i], p.value[i] = DigestSize*t.label, uint32(DigestSize*i)
		}
		lanes.HashPairs(p.values[:], p.value[:n], s.edges, p.left[:n], s.edges, p.right[:n])
		lanes.HashPairs(s.edges, p.edge[:n], p.values[:], p.value[:n], s.labels, p.label[:n])
		tasks = tasks[n:]
	}
}

// pairs is where the messages of some tasks lie: the edges of both sides, then the value that they
// give and the hash of the label.
type pairs struct {
	left, right, value, label, edge [batch]uint32

	values [batch * DigestSize]byte
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
