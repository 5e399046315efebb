package validator

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/ktaudit/ktaudit/internal/wire"
)

// FuzzVerify: arbitrary bytes never panic, are judged one way or the other, and cost memory in
// proportion to their size.
func FuzzVerify(f *testing.F) {
	for _, folder := range []string{"encoding", "malformed"} {
		for _, p := range readProofs(f, folder) {
			if len(p.data) < 8<<10 {
				f.Add(p.data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := Verify(context.Background(), Name{Epoch: 7}, bytes.NewReader(data), WhatsAppV1(), Options{})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatalf("bytes in memory can be judged, but: %v", err)
		}
		if got.Outcome != Rejected || got.Reason == "" || got.Detail == "" {
			t.Fatalf("all-zero digests verified: %+v", got)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 16<<20+64*uint64(len(data)) {
			t.Fatalf("%d bytes cost %d bytes of memory", len(data), spent)
		}
	})
}

// FuzzDamage: an honest proof with some bytes changed, cut out or put in never verifies, unless it
// still says the same.
func FuzzDamage(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	leaves := randomLeaves(r, 40, 100)
	name, proof := refLayout{}.refProof(leaves[:30], leaves[30:], 7)
	honest := encode(proof)
	same := elementsOf(f, honest)
	f.Add(uint16(0), uint16(1), []byte{0x12})
	f.Add(uint16(75), uint16(0), []byte{0x18, 0x00})
	f.Add(uint16(0), uint16(0), []byte{0x1a, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, at, cut uint16, put []byte) {
		from := int(at) % (len(honest) + 1)
		to := min(from+int(cut), len(honest))
		data := append(append(bytes.Clone(honest[:from]), put...), honest[to:]...)
		got, err := Verify(context.Background(), name, bytes.NewReader(data), WhatsAppV1(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Outcome == Verified && !sameElements(same, elementsOf(t, data)) {
			t.Fatalf("a damaged proof verified: %d bytes at %d replaced by %x", to-from, from, put)
		}
	})
}

// elementsOf decodes a valid proof into the multiset of its elements.
func elementsOf(t testing.TB, data []byte) map[refElement]int {
	t.Helper()
	elements := map[refElement]int{}
	d := wire.NewDecoder(context.Background(), bytes.NewReader(data), 1<<30)
	var e wire.Element
	for d.Next(&e) == nil {
		ref := refElement{bits: e.Bits, inserted: e.Inserted}
		copy(ref.label[:], e.Label)
		copy(ref.value[:], e.Value)
		elements[ref]++
	}
	return elements
}

func sameElements(a, b map[refElement]int) bool {
	if len(a) != len(b) {
		return false
	}
	for e, n := range a {
		if b[e] != n {
			return false
		}
	}
	return true
}
