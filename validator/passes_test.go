package validator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
)

// inPasses verifies with room for so many elements, and returns how often the proof was read.
func inPasses(t testing.TB, name Name, data []byte, c Configuration, slots int) (Result, int) {
	t.Helper()
	reads := 0
	open := func(context.Context) (io.ReadCloser, error) {
		reads++
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	r, err := VerifyInPasses(context.Background(), name, open, c, Options{MaxMemory: PassMemory(slots)})
	if err != nil {
		t.Fatal(err)
	}
	return r, reads
}

// maxPasses is how often VerifyInPasses may read a proof of so many elements, if it has memory for
// so many at once.
func maxPasses(elements, slots int) int {
	half := slots / 2
	if elements <= 2*half {
		return 1
	}
	return (elements + half - 1) / half
}

// TestPassesGiveTheSameResult: to the last character, in no more passes than promised, for
// honest proofs and changed ones, in any order, with labels apart or crowded.
func TestPassesGiveTheSameResult(t *testing.T) {
	t.Parallel()
	const large = 5000 // elements; so many take long under the race detector
	same := func(t *testing.T, name Name, proof []refElement, c Configuration) {
		t.Helper()
		data := encode(proof)
		want, err := Verify(context.Background(), name, bytes.NewReader(data), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		sizes := []int{max(minSlots, len(proof)/8), len(proof)/3 + minSlots, len(proof) + minSlots}
		if len(proof) > large {
			sizes = []int{len(proof) / 4}
		}
		for _, slots := range sizes {
			got, reads := inPasses(t, name, data, c, slots)
			if got != want {
				t.Fatalf("%d elements, %d at a time: %+v, want %+v", len(proof), slots, got, want)
			}
			if most := maxPasses(len(proof), slots); reads > most {
				t.Errorf("%d elements, %d at a time: %d passes, want %d at most", len(proof), slots, reads, most)
			}
		}
	}
	for name, l := range layouts {
		for i, shape := range shapes {
			if name == "experimental" && shape.inserted > 1000 {
				continue // the layout makes no difference to passes
			}
			t.Run(fmt.Sprintf("%s/%v", name, shape), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(11, uint64(i)))
				shuffle := func(p []refElement) { r.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] }) }
				leaves := randomLeaves(r, shape.directory+shape.inserted, shape.crowd)
				name, honest := l.ref.refProof(leaves[:shape.directory], leaves[shape.directory:], 7)
				if len(honest) <= large {
					same(t, name, honest, l.configuration)
					slices.Reverse(honest)
					same(t, name, honest, l.configuration)
				}
				shuffle(honest)
				same(t, name, honest, l.configuration)
				for _, apply := range changes {
					if len(honest) > 0 && len(honest) < 1000 {
						same(t, name, apply(r, slices.Clone(honest), r.IntN(len(honest))), l.configuration)
					}
				}
				// Many overlaps: shells above others, some above other shells, and labels that come
				// twice.
				for _, n := range []int{2, 200} {
					if n == 2 && len(honest) > large {
						continue
					}
					proof := slices.Clone(honest)
					for range min(n, len(honest)) {
						shell := honest[r.IntN(len(honest))]
						shell.inserted, shell.bits = false, 1+r.IntN(256)
						for b := shell.bits; b < 256; b++ {
							shell.label[b/8] &^= 0x80 >> (b % 8)
						}
						proof = append(proof, shell)
					}
					shuffle(proof)
					same(t, name, proof, l.configuration)
				}
			})
		}
	}
}

// TestHostileOrderInBoundedMemory: what VerifyInPasses allocates is bounded by MaxMemory, however
// the elements are laid out.
func TestHostileOrderInBoundedMemory(t *testing.T) { // not parallel: it reads the process's counters
	const n, slots = 200_000, 30_000
	for _, order := range []string{"ascending", "descending", "random", "duplicates"} {
		data := crowded(n, 256, order)
		if order == "duplicates" {
			data = bytes.Repeat(data[:len(data)/n], n)
		}
		want, err := Verify(context.Background(), Name{Epoch: 7}, bytes.NewReader(data), WhatsAppV1(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, reads := inPasses(t, Name{Epoch: 7}, data, WhatsAppV1(), slots)
		runtime.ReadMemStats(&after)
		if got != want {
			t.Errorf("%s: %+v, want %+v", order, got, want)
		}
		// Each pass makes a decoder's buffers anew.
		limit := PassMemory(slots) + int64(reads)<<20
		if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > limit {
			t.Errorf("%s: %d bytes allocated in %d passes, want %d at most", order, allocated, reads, limit)
		}
	}
}

// TestPassesOfAChangingProof: a source that serves other bytes the second time is no log's fault,
// and nothing is verified from the parts of two proofs.
func TestPassesOfAChangingProof(t *testing.T) {
	t.Parallel()
	p := readProofs(t, "whatsapp-v1/medium")[0]
	elements := split(t, p.data)
	rand.New(rand.NewPCG(6, 6)).Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
	shuffled := bytes.Join(elements, nil)
	fault := errors.New("connection reset")
	for name, c := range map[string]struct {
		second func() (io.ReadCloser, error)
		want   error
	}{
		"other order":   {func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.data)), nil }, ErrChanged},
		"cut short":     {func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(shuffled[:50])), nil }, ErrChanged},
		"does not open": {func() (io.ReadCloser, error) { return nil, fault }, fault},
		"does not close": {func() (io.ReadCloser, error) {
			return badClose{bytes.NewReader(shuffled), fault}, nil
		}, fault},
	} {
		reads := 0
		open := func(context.Context) (io.ReadCloser, error) {
			if reads++; reads > 1 {
				return c.second()
			}
			return io.NopCloser(bytes.NewReader(shuffled)), nil
		}
		got, err := VerifyInPasses(context.Background(), p.name, open, WhatsAppV1(), Options{MaxMemory: PassMemory(len(elements) / 3)})
		if !errors.Is(err, c.want) || got != (Result{}) || reads != 2 {
			t.Errorf("%s: %+v, %v after %d passes", name, got, err, reads)
		}
	}
}

type badClose struct {
	io.Reader
	err error
}

func (b badClose) Close() error { return b.err }

func TestContextEndsPasses(t *testing.T) {
	t.Parallel()
	data := crowded(100_000, 256, "random")
	for _, at := range []int{1000, len(data), 3 * len(data) / 2} {
		ctx, cancel := context.WithCancel(context.Background())
		read := 0
		open := func(context.Context) (io.ReadCloser, error) {
			defer func() { read += len(data) }()
			return io.NopCloser(&cancelling{bytes.NewReader(data), at - read, cancel}), nil
		}
		if got, err := VerifyInPasses(ctx, Name{Epoch: 7}, open, WhatsAppV1(), Options{MaxMemory: PassMemory(30_000)}); err != context.Canceled || got != (Result{}) {
			t.Errorf("cancelled after %d bytes: %+v, %v", at, got, err)
		}
		cancel()
	}
}

// TestEarlyOverlapIsForgotten: which overlap is told does not depend on what was hashed too early.
func TestEarlyOverlapIsForgotten(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(12, 12))
	_, proof := refLayout{}.refProof(nil, randomLeaves(r, spreadAt+1000, 0), 7)
	leaf := proof[100]
	shell := func(bits int) refElement {
		e := refElement{bits: bits, label: leaf.label}
		for b := bits; b < 256; b++ {
			e.label[b/8] &^= 0x80 >> (b % 8)
		}
		return e
	}
	other := refElement{bits: 200, label: proof[30_000].label}
	other.label[0] ^= 0x80
	for b := 200; b < 256; b++ {
		other.label[b/8] &^= 0x80 >> (b % 8)
	}
	// The bucket is sent once another one is filled, and then comes the outer shell.
	proof = append(proof, shell(100), other, shell(40))
	data := encode(proof)
	want, _ := inPasses(t, Name{Epoch: 7}, data, WhatsAppV1(), len(proof)+minSlots)
	if got := verify(t, Name{Epoch: 7}, data, WhatsAppV1()); got != want || got.Reason != verdict.OverlappingLabels {
		t.Errorf("%+v, want %+v", got, want)
	}
}
