package validator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
)

var layouts = map[string]struct {
	ref           refLayout
	configuration Configuration
}{
	"whatsapp_v1":  {refLayout{}, WhatsAppV1()},
	"experimental": {refLayout{"A domain label"}, Experimental("A domain label")},
}

// TestEveryConfigurationHasAReference: none goes without the tests below.
func TestEveryConfigurationHasAReference(t *testing.T) {
	t.Parallel()
	for _, kind := range configurationKinds {
		if l, ok := layouts[kind.name]; !ok || l.configuration.kind != kind {
			t.Errorf("configuration %s has no reference in layouts", kind.name)
		}
	}
}

// TestDomainLabelsOfAnyLength: messages of one block to more than a vector kernel hashes. The sweep
// of one proof is used for the next, which must not find anything of the last one's messages.
func TestDomainLabelsOfAnyLength(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	leaves := randomLeaves(r, 700, 0)
	for _, length := range []int{1, 24, 25, 55, 56, 57, 120, 121, 888, 889, 3000, 2, 888, 1} {
		domain := strings.Repeat("d", length)
		name, proof := refLayout{domain}.refProof(leaves[:500], leaves[500:], 7)
		slices.SortFunc(proof, akdOrder)
		if got := verify(t, name, encode(proof), Experimental(domain)); got.Outcome != Verified {
			t.Errorf("%d bytes: %+v", length, got)
		}
		if got := verify(t, name, encode(proof), Experimental(domain+"d")); got.Outcome != Rejected {
			t.Errorf("%d bytes, one more: %+v", length, got)
		}
	}
}

// sizes of directories and insertions, with how many leading bits labels may share beyond chance.
// The largest ones are spread over buckets and swept in several parts.
var shapes = []struct{ directory, inserted, crowd int }{
	{0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 0}, {0, 2, 256}, {2, 1, 256}, {3, 2, 200}, {20, 5, 0}, {20, 20, 256},
	{200, 10, 0}, {300, 100, 250}, {0, 500, 256}, {2500, 2500, 0}, {3000, 4000, 256}, {6000, 9000, 40}, {20000, 25000, 0},
}

// TestHonestProofsVerifyInAnyOrder: whatever the directory, and in whatever order the elements
// come.
func TestHonestProofsVerifyInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, l := range layouts {
		for i, shape := range shapes {
			t.Run(fmt.Sprintf("%s/%v", name, shape), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(1, uint64(i)))
				leaves := randomLeaves(r, shape.directory+shape.inserted, shape.crowd)
				name, proof := l.ref.refProof(leaves[:shape.directory], leaves[shape.directory:], 7)
				orders := map[string]func(){
					"label order": func() {},
					"reversed":    func() { slices.Reverse(proof) },
					"shuffled":    func() { r.Shuffle(len(proof), func(i, j int) { proof[i], proof[j] = proof[j], proof[i] }) },
					"akd's order": func() { slices.SortFunc(proof, akdOrder) },
				}
				for order, arrange := range orders {
					arrange()
					if got := verify(t, name, encode(proof), l.configuration); got.Outcome != Verified {
						t.Errorf("%s: %+v", order, got)
					}
					if order == "akd's order" {
						verifyOrdered(t, name, encode(proof), l.configuration)
					}
				}
			})
		}
	}
}

// akdOrder: inserted before unchanged, in each the labels that begin with 1 before those that begin
// with 0.
func akdOrder(a, b refElement) int {
	rank := func(e refElement) int {
		n := 1 - e.bit(0)
		if !e.inserted {
			n += 2
		}
		return n
	}
	if c := rank(a) - rank(b); c != 0 {
		return c
	}
	return slices.Compare(a.label[:], b.label[:])
}

// TestChangedProofsAreRejected: an honest proof in which one element is moved to the other list,
// dropped, duplicated or edited never verifies.
func TestChangedProofsAreRejected(t *testing.T) {
	t.Parallel()
	for name, l := range layouts {
		for i, shape := range shapes {
			t.Run(fmt.Sprintf("%s/%v", name, shape), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(2, uint64(i)))
				leaves := randomLeaves(r, shape.directory+shape.inserted, shape.crowd)
				name, honest := l.ref.refProof(leaves[:shape.directory], leaves[shape.directory:], 7)
				for range min(20, 4*len(honest), 1+8000/(len(honest)+1)) {
					for change, apply := range changes {
						proof := slices.Clone(honest)
						at := r.IntN(len(proof))
						proof = apply(r, proof, at)
						if got := verify(t, name, encode(proof), l.configuration); got.Outcome != Rejected || got.Reason == "" || got.Detail == "" {
							t.Fatalf("%s of element %d of %d: %+v", change, at, len(proof), got)
						}
					}
				}
			})
		}
	}
}

var changes = map[string]func(r *rand.Rand, proof []refElement, at int) []refElement{
	"move": func(_ *rand.Rand, p []refElement, at int) []refElement {
		p[at].inserted = !p[at].inserted
		return p
	},
	"drop": func(_ *rand.Rand, p []refElement, at int) []refElement {
		return slices.Delete(p, at, at+1)
	},
	"duplicate": func(r *rand.Rand, p []refElement, at int) []refElement {
		return slices.Insert(p, r.IntN(len(p)+1), p[at])
	},
	"edit value": func(r *rand.Rand, p []refElement, at int) []refElement {
		p[at].value[r.IntN(32)] ^= 1 << r.IntN(8)
		return p
	},
	"edit label": func(r *rand.Rand, p []refElement, at int) []refElement {
		p[at].label[r.IntN(32)] ^= 1 << r.IntN(8)
		return p
	},
	"edit length": func(r *rand.Rand, p []refElement, at int) []refElement {
		before := p[at].bits
		for p[at].bits == before {
			p[at].bits = r.IntN(257)
		}
		return p
	},
	"swap values": func(r *rand.Rand, p []refElement, at int) []refElement {
		other := r.IntN(len(p))
		p[at].value, p[other].value = p[other].value, p[at].value
		if at == other {
			p[at].value[0] ^= 1
		}
		return p
	},
	"add": func(r *rand.Rand, p []refElement, _ int) []refElement {
		return append(p, refElement{label: randomLeaves(r, 1, 0)[0].label, bits: 256, inserted: true})
	},
}

// TestOverlapsAreFoundWhereverTheyAre: between buckets, within one, between lists, at any distance
// in the proof.
func TestOverlapsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{1, 10, 3000, 12000, 40000} {
		_, honest := refLayout{}.refProof(nil, randomLeaves(r, n, 0), 7)
		all := []int{1, 2, 5, 10, 11, 12, 20, 100, 255, 256}
		if n > 20_000 {
			all = []int{1, 11, 20, 256} // seconds each under the race detector
		}
		for _, bits := range all {
			victim := r.IntN(n)
			shell := refElement{bits: bits, label: honest[victim].label}
			for b := bits; b < 256; b++ {
				shell.label[b/8] &^= 0x80 >> (b % 8)
			}
			proof := slices.Insert(slices.Clone(honest), r.IntN(n+1), shell)
			if got := verify(t, Name{Epoch: 7}, encode(proof), WhatsAppV1()); got.Reason != verdict.OverlappingLabels {
				t.Errorf("%d leaves, a node of %d bits above one: %+v", n, bits, got)
			}
		}
	}
}
