package simlog

import (
	"math"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob/memblob"
)

// tampered returns the proof of epoch 3 of a small log, tampered with.
func tampered(t *testing.T, kind Kind, seed, size uint64) (validator.Name, decoded) {
	t.Helper()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { bucket.Close() })
	log, err := Open(t.Context(), bucket, nil, Options{Seed: seed, Epochs: 3, DirectorySize: size, Tamper: map[uint64]Kind{3: kind}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, err := log.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e.Name.Epoch != 3 {
			continue
		}
		b, err := bucket.ReadAll(t.Context(), e.Objects[0])
		if err != nil {
			t.Fatal(err)
		}
		d, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		return e.Name, d
	}
}

// TestAttacksPassNaiveVerifiers: the kinds that break a rule about labels would be found by their
// digests too, if the digests were wrong. They are not, for a verifier without the rule: nothing
// but the rule stands in the way.
func TestAttacksPassNaiveVerifiers(t *testing.T) {
	t.Parallel()
	for kind, naive := range map[Kind]func(decoded) decoded{
		// akd 0.12 drops an unchanged node from the end tree when an inserted leaf lies below it.
		Rewrite: func(d decoded) decoded {
			kept := decoded{inserted: d.inserted}
			for _, u := range d.unchanged {
				if !hasBelow(d.inserted, u.bits) {
					kept.unchanged = append(kept.unchanged, u)
				}
			}
			if len(kept.unchanged) != len(d.unchanged)-1 {
				t.Errorf("rewrite: %d unchanged nodes have a leaf inserted below, want one", len(d.unchanged)-len(kept.unchanged))
			}
			return kept
		},
		// A map from labels to values lets the second of two equal leaves replace the first.
		Overlap: func(d decoded) decoded {
			kept := decoded{unchanged: d.unchanged}
			for i, e := range d.inserted {
				if !hasBelow(d.inserted[i+1:], e.bits) {
					kept.inserted = append(kept.inserted, e)
				}
			}
			if len(kept.inserted) != len(d.inserted)-1 {
				t.Errorf("overlap: %d leaves come twice, want one", len(d.inserted)-len(kept.inserted))
			}
			return kept
		},
		// akd 0.13 still takes leaves of any length.
		Noncanonical: func(d decoded) decoded { return d },
	} {
		for _, size := range []uint64{0, 1 << 30} {
			for seed := range uint64(10) {
				name, d := tampered(t, kind, seed, size)
				before := reference("").digest(d.unchanged)
				_, after := reference("").digests(naive(d), 3)
				if before != value(name.PreviousDigest) || after != value(name.Digest) {
					t.Errorf("%s, seed %d, directory of %d: a naive verifier finds %x and %x, want %s", kind, seed, size, before, after, name)
				}
			}
		}
	}
}

func hasBelow(elements []element, prefix string) bool {
	for _, e := range elements {
		if strings.HasPrefix(e.bits, prefix) {
			return true
		}
	}
	return false
}

// TestPreviousHidesALeaf: the leaf that is passed off as old is in the end tree as it should be.
func TestPreviousHidesALeaf(t *testing.T) {
	t.Parallel()
	name, d := tampered(t, Previous, 0, 0)
	before, after := reference("").digests(d, 3)
	if before == value(name.PreviousDigest) || after != value(name.Digest) || len(d.inserted) != 19 {
		t.Errorf("digests %x and %x of %s, %d inserted", before, after, name, len(d.inserted))
	}
}

// TestLargeDirectoriesLookLikeHeldOnes: for sizes that can be held, a large directory shows as many
// unchanged nodes, and at the same depths.
func TestLargeDirectoriesLookLikeHeldOnes(t *testing.T) {
	t.Parallel()
	const leaves, insertions, logs = 4096, 200, 30
	shape := func(o Options) (unchanged, bits, whole float64) {
		for seed := range uint64(logs) {
			o.Seed, o.First, o.Epochs, o.Insertions = seed, 2, 1, insertions
			bucket := memblob.OpenBucket(nil)
			defer bucket.Close()
			log, err := Open(t.Context(), bucket, nil, o)
			if err != nil {
				t.Fatal(err)
			}
			e, err := log.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b, err := bucket.ReadAll(t.Context(), e.Objects[0])
			if err != nil {
				t.Fatal(err)
			}
			d, err := decode(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range d.unchanged {
				unchanged++
				if len(u.bits) == maxLength {
					whole++
				} else {
					bits += float64(len(u.bits))
				}
			}
		}
		return unchanged / logs, bits / (unchanged - whole), whole / logs
	}
	u1, b1, w1 := shape(Options{FirstLoad: leaves})
	u2, b2, w2 := shape(Options{DirectorySize: leaves})
	if math.Abs(u1-u2) > 0.01*u1 || math.Abs(b1-b2) > 0.01*b1 || math.Abs(w1-w2) > 0.05*w1 {
		t.Errorf("held: %.1f unchanged, of %.2f bits, and %.1f leaves; large: %.1f of %.2f bits, and %.1f leaves", u1, b1, w1, u2, b2, w2)
	}
}
