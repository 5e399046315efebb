package simlog

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/validator"
	"github.com/zeebo/blake3"
)

// value is the value of a node: a hash or a commitment.
type value [32]byte

// hasher is the hash layout of a configuration, written from its description and not from the
// validator's code, so that each checks the other.
type hasher struct {
	domain string // what every hash begins with; empty for whatsapp_v1

	hashesLabels bool  // a label goes into its parent hashed, with its node's value
	stale        value // the commitment of the leaf that marks a key's old version
	emptyRoot    value // the value of a root without children
	emptyNode    value // the value of an absent child
	emptyLabel   label // the label of an absent child, of length 0
}

func newHasher(c validator.Configuration) (*hasher, error) {
	name, domain, _ := strings.Cut(c.String(), ":")
	switch {
	case name == "whatsapp_v1":
		h := &hasher{hashesLabels: true}
		for i := range h.emptyLabel {
			h.emptyLabel[i] = 1
		}
		h.stale = h.sum([]byte{0})
		h.emptyRoot = h.stale
		h.emptyNode = h.withLabel(h.emptyRoot, &h.emptyLabel, 0)
		return h, nil
	case name == "experimental" && domain != "":
		h := &hasher{domain: domain}
		h.emptyLabel[0] = 1
		return h, nil
	}
	return nil, fmt.Errorf("no hash layout for configuration %q", c)
}

func (h *hasher) sum(message []byte) value {
	if h.domain == "" {
		return blake3.Sum256(message)
	}
	return blake3.Sum256(append([]byte(h.domain), message...))
}

// leaf is the value of a leaf from the epoch on that inserted it.
func (h *hasher) leaf(commitment value, epoch uint64) value {
	var message [40]byte
	copy(message[:], commitment[:])
	binary.BigEndian.PutUint64(message[32:], epoch)
	return h.sum(message[:])
}

// labelBytes is a label as it is hashed.
func labelBytes(l *label, length uint16) (b [36]byte) {
	binary.BigEndian.PutUint32(b[:], uint32(length))
	copy(b[4:], l[:])
	return b
}

// withLabel is whatsapp_v1's H(value ‖ H(label)).
func (h *hasher) withLabel(v value, l *label, length uint16) value {
	b := labelBytes(l, length)
	hashed := h.sum(b[:])
	var message [64]byte
	copy(message[:], v[:])
	copy(message[32:], hashed[:])
	return h.sum(message[:])
}

// child is one side of an interior node.
type child struct {
	value  value
	label  label
	length uint16
}

func (h *hasher) absent() child { return child{h.emptyNode, h.emptyLabel, 0} }

func (h *hasher) parent(left, right *child) value {
	if h.hashesLabels {
		var message [64]byte
		l := h.withLabel(left.value, &left.label, left.length)
		r := h.withLabel(right.value, &right.label, right.length)
		copy(message[:], l[:])
		copy(message[32:], r[:])
		return h.sum(message[:])
	}
	var message [2 * (32 + 36)]byte
	l, r := labelBytes(&left.label, left.length), labelBytes(&right.label, right.length)
	copy(message[:], left.value[:])
	copy(message[32:], l[:])
	copy(message[68:], right.value[:])
	copy(message[100:], r[:])
	return h.sum(message[:])
}

// digest is what a log publishes for a root's value.
func (h *hasher) digest(root value) value {
	if h.hashesLabels {
		return h.withLabel(root, &label{}, 0)
	}
	return root
}
