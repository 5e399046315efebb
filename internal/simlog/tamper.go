package simlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// Kind is a way of making one epoch wrong. All epochs before and after it stay right, and each
// begins with the published digest of the epoch before it: an auditor must find exactly one fault.
type Kind string

const (
	// Rewrite gives two keys new values so that akd 0.12 verifies it: the subtree with the two keys
	// is listed as unchanged, and the keys are inserted once more below it. akd 0.12 silently drops
	// the unchanged node.
	Rewrite Kind = "rewrite"
	// Delete drops a key, or a whole subtree of a large directory, from the tree and from the
	// proof.
	Delete Kind = "delete"
	// Overlap lists one inserted leaf twice. A verifier that lets the second replace the first
	// finds both digests right.
	Overlap Kind = "overlap"
	// Noncanonical inserts a leaf whose label has 255 bits. Both digests are right for it; akd 0.13
	// accepts it.
	Noncanonical Kind = "noncanonical"
	// Malformed ends the proof in the middle of an element.
	Malformed Kind = "malformed"
	// Digest publishes another value for a key than the tree's digest commits to.
	Digest Kind = "digest"
	// Previous passes a new leaf off as an old one. The digest is right; the previous digest isn't.
	Previous Kind = "previous"
	// Signature breaks the signature of the signed digest.
	Signature Kind = "signature"
	// SignedDigest signs another digest than the published one, validly.
	SignedDigest Kind = "signed-digest"
	// Equivocate publishes a second proof for the epoch, valid by itself, that leads to another
	// digest.
	Equivocate Kind = "equivocate"
	// Reuse publishes an epoch that changes nothing. Its proof is valid; its digest is the one
	// before it.
	Reuse Kind = "reuse"
	// Missing publishes a signed digest but no proof.
	Missing Kind = "missing"
)

// Outcomes of a whole audit. A missing epoch gets no verdict.
const (
	Rejected = string(validator.Rejected)
	Gap      = "missing"
)

// outcome is how an audit of a tampered epoch ends, and what the log needs for that.
type outcome struct {
	outcome   string
	reason    verdict.Reason
	signed    bool // only signed digests are wrong
	needsPast bool // the directory must hold something before the epoch
}

// expected is the table of the kinds. The reasons that package validator does not know are about
// more than a proof.
var expected = map[Kind]outcome{
	Rewrite:      {outcome: Rejected, reason: verdict.OverlappingLabels, needsPast: true},
	Delete:       {outcome: Rejected, reason: verdict.PreviousDigestMismatch, needsPast: true},
	Overlap:      {outcome: Rejected, reason: verdict.OverlappingLabels},
	Noncanonical: {outcome: Rejected, reason: verdict.NoncanonicalLabel},
	Malformed:    {outcome: Rejected, reason: verdict.MalformedProof},
	Digest:       {outcome: Rejected, reason: verdict.DigestMismatch},
	Previous:     {outcome: Rejected, reason: verdict.PreviousDigestMismatch},
	Signature:    {outcome: Rejected, reason: verdict.SignatureInvalid, signed: true},
	SignedDigest: {outcome: Rejected, reason: verdict.SignatureDigestMismatch, signed: true},
	Equivocate:   {outcome: Rejected, reason: verdict.Equivocation},
	Reuse:        {outcome: Rejected, reason: verdict.DigestReused, needsPast: true},
	Missing:      {outcome: Gap},
}

// Expected returns how an audit of an epoch tampered with by kind must end: in the outcome Rejected
// with a reason, or in Gap without one. The reasons of Signature and SignedDigest are for an
// auditor that trusts the log's key; any other finds these epochs verified. With Signature,
// SignedDigest, Equivocate and Reuse the proof itself is valid.
func Expected(kind Kind) (outcome string, reason verdict.Reason) {
	e := expected[kind]
	return e.outcome, e.reason
}

// Kinds returns all kinds in alphabetical order.
func Kinds() []Kind {
	var kinds []Kind
	for kind := range expected {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// ParseTamper reads "EPOCH=KIND".
func ParseTamper(s string) (uint64, Kind, error) {
	number, name, found := strings.Cut(s, "=")
	if !found {
		return 0, "", fmt.Errorf("%q: want EPOCH=KIND", s)
	}
	epoch, err := validator.ParseEpoch(number)
	if err != nil {
		return 0, "", fmt.Errorf("%q: %w", s, err)
	}
	if _, ok := expected[Kind(name)]; !ok {
		return 0, "", fmt.Errorf("%q: unknown kind %q: want one of %s", s, name, strings.Trim(fmt.Sprint(Kinds()), "[]"))
	}
	return epoch, Kind(name), nil
}

var errTooSmall = errors.New("the directory is too small to tamper with")

// beforeInsert changes the tree as it was before the epoch, and the batch that will be inserted.
func (p *proof) beforeInsert(kind Kind, r *random) error {
	switch kind {
	case Rewrite:
		path, err := p.tree.victim(r)
		if err != nil {
			return err
		}
		old := p.tree.nodes.at(path[len(path)-1])
		p.unchanged = append(p.unchanged, p.tree.element(old))
		for _, l := range p.tree.labelsBelow(old, r) {
			p.batch = append(p.batch, insertion{label: l, length: maxLength, commitment: r.value()})
		}
		sortInsertions(p.batch)
		p.tree.remove(path, p.epoch)
	case Delete:
		path, err := p.tree.victim(r)
		if err != nil {
			return err
		}
		if victim := p.tree.nodes.at(path[len(path)-1]); victim.interior() {
			path = append(path, victim.kids[r.Uint64()%2])
		}
		p.tree.remove(path, p.epoch)
	case Noncanonical:
		last := &p.batch[len(p.batch)-1]
		last.length--
		last.label = last.label.prefix(last.length)
	case Reuse:
		p.batch = nil
	}
	return nil
}

// afterRehash changes what is published of the tree, but not the tree.
func (p *proof) afterRehash(kind Kind) {
	switch kind {
	case Overlap:
		p.twice = map[int]bool{0: true}
	case Malformed:
		// An element that claims 80 bytes and has two.
		p.tail = []byte{byte(fieldInserted)<<3 | 2, 80, byte(fieldLabel)<<3 | 2, 36}
	case Digest:
		p.batch[0].commitment[0] ^= 1
	case Previous:
		p.hidden = map[int]bool{0: true}
		leaf := p.batch[0]
		p.unchanged = append(p.unchanged, child{p.tree.hash.leaf(leaf.commitment, p.epoch), leaf.label, leaf.length})
	}
}

// victim walks down at random to a subtree whose leaves an attack can name: a pair of leaves, or a
// closed subtree. The path begins with the root and ends with the victim, which is not the root.
func (t *tree) victim(r *random) ([]uint32, error) {
	path := []uint32{none}
	for n := t.root(); ; {
		var below []uint32
		for _, kid := range n.kids {
			if kid != none && t.nodes.at(kid).length < maxLength {
				below = append(below, kid)
			}
		}
		if len(below) == 0 {
			if len(path) == 1 {
				return nil, errTooSmall
			}
			return path, nil
		}
		next := below[r.Uint64()%uint64(len(below))]
		path = append(path, next)
		n = t.nodes.at(next)
	}
}

// labelsBelow returns the labels of a victim's two leaves, or of two that a closed subtree could
// have, one on each side.
func (t *tree) labelsBelow(victim *node, r *random) []label {
	if victim.interior() {
		return []label{*t.labels.at(t.nodes.at(victim.kids[0]).label), *t.labels.at(t.nodes.at(victim.kids[1]).label)}
	}
	left := t.labels.at(victim.label).prefix(victim.length)
	right := left
	right.setBit(victim.length)
	return []label{r.below(left, victim.length+1), r.below(right, victim.length+1)}
}
