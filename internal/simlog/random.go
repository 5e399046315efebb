package simlog

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/zeebo/blake3"
)

// random is a reproducible stream of bits. ChaCha8's output for a key is fixed by its
// specification, so that a seed means the same log in every release.
type random struct{ rand.ChaCha8 }

// newRandom returns the stream for one purpose: drawing for one never changes what is drawn for
// another.
func newRandom(seed uint64, purpose string, number uint64) *random {
	message := append([]byte("ktaudit simulated log: "), purpose...)
	message = binary.BigEndian.AppendUint64(message, seed)
	message = binary.BigEndian.AppendUint64(message, number)
	r := new(random)
	r.Seed(blake3.Sum256(message))
	return r
}

func (r *random) value() (v value) {
	r.Read(v[:]) // never fails
	return v
}

// below returns a label that begins with the first length bits of l and goes on at random for 256
// bits.
func (r *random) below(l label, length uint16) label {
	full := label(r.value())
	l = l.prefix(length)
	for i := range full {
		switch covered := int(length) - 8*i; {
		case covered >= 8:
			full[i] = l[i]
		case covered > 0:
			full[i] = l[i] | full[i]&(0xff>>covered)
		}
	}
	return full
}

// half returns how many of n tossed coins are heads.
func (r *random) half(n uint64) uint64 {
	const exact = 4096 // beyond that the normal approximation is as good
	if n > exact {
		u, v := 1-float64(r.Uint64()>>11)/(1<<53), float64(r.Uint64()>>11)/(1<<53)
		gauss := math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
		heads := float64(n)/2 + gauss*math.Sqrt(float64(n))/2
		return min(n, uint64(max(0, math.Round(heads))))
	}
	var heads int
	for ; n >= 64; n -= 64 {
		heads += bits.OnesCount64(r.Uint64())
	}
	return uint64(heads + bits.OnesCount64(r.Uint64()&(1<<n-1)))
}

// insertion is a new leaf: its label, its length (256 in every honest tree) and its commitment.
type insertion struct {
	label      label
	length     uint16
	commitment value
}

// insertions returns n new leaves in the order of their labels. Labels are outputs of a verifiable
// random function, so that a new key looks like a new version of an old one. A rotation inserts two
// leaves: one marks the old version stale, under its own label and with a commitment that is the
// same for all, and one commits to the new version.
func insertions(r *random, n, rotations int, stale value) []insertion {
	batch := make([]insertion, n)
	for i := range batch {
		batch[i] = insertion{label: label(r.value()), length: maxLength, commitment: r.value()}
		if i < rotations {
			batch[i].commitment = stale
		}
	}
	sortInsertions(batch)
	return batch
}

func sortInsertions(batch []insertion) {
	slices.SortFunc(batch, func(a, b insertion) int { return a.label.compare(&b.label) })
}
