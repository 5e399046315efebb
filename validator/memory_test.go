package validator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/wire"
)

// crowded returns an encoded proof of n unchanged elements with labels of the given length, all in
// one bucket.
func crowded(n, bits int, order string) []byte {
	r := rand.New(rand.NewPCG(8, uint64(n)))
	elements := make([]refElement, n)
	for i := range elements {
		e := &elements[i]
		e.bits = bits
		at := uint64(i)
		switch order {
		case "descending":
			at = uint64(n - i)
		case "random":
			at = r.Uint64()
		}
		for b := range min(bits-16, 48) { // the number, right-aligned, after 16 bits of zeros
			if at>>b&1 != 0 {
				place := bits - 1 - b
				e.label[place/8] |= 0x80 >> (place % 8)
			}
		}
	}
	return encode(elements)
}

// TestMemoryIsBounded: however elements are laid out, what is allocated, let alone held, is at most
// what Verify says.
func TestMemoryIsBounded(t *testing.T) { // not parallel: it reads the process's counters
	const workers, n = 2, 400_000
	for _, order := range []string{"ascending", "descending", "random", "duplicates"} {
		for _, bits := range []int{40, 256} {
			data := crowded(n, bits, order)
			if order == "duplicates" {
				data = bytes.Repeat(data[:len(data)/n], n)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := Verify(context.Background(), Name{Epoch: 7}, bytes.NewReader(data), WhatsAppV1(), Options{Workers: workers})
			runtime.ReadMemStats(&after)
			if err != nil || r.Outcome != Rejected {
				t.Fatalf("%s: %+v, %v", order, r, err)
			}
			allocated := int64(after.TotalAlloc - before.TotalAlloc)
			if limit := 2*int64(len(data)) + workers*memoryPerWorker + memoryFixed; allocated > limit {
				t.Errorf("%s, %d bits: %d bytes of proof took %d bytes, %.2f times as many", order, bits, len(data), allocated,
					float64(allocated)/float64(len(data)))
			}
		}
	}
}

// TestMemoryMayBeBounded: with Options.MaxMemory a proof takes no more than that, or ErrMemory says
// that it would. In the order that logs write, a small part of its bytes is enough.
func TestMemoryMayBeBounded(t *testing.T) { // not parallel: it reads the process's counters
	const workers = 2
	inserted := benchProof(150_000)
	for at := 0; at < len(inserted); at += 2 + int(inserted[at+1]) {
		inserted[at] = 0x0a // the list of the inserted ones
	}
	for name, c := range map[string]struct {
		data   []byte
		enough float64 // of the proof's bytes
	}{
		"as logs write it":         {benchProof(600_000), 0.5},
		"all inserted, in order":   {inserted, 2.5},
		"in one subtree, in order": {crowded(150_000, 256, "ascending"), 2.5},
		"in one subtree":           {crowded(150_000, 256, "random"), 2.5},
	} {
		for _, part := range []float64{0.05, 0.5, 2.5} {
			for _, ordered := range []bool{true, false} {
				most := int64(part * float64(len(c.data)))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := Verify(context.Background(), Name{Epoch: 7}, bytes.NewReader(c.data), WhatsAppV1(),
					Options{Workers: workers, Ordered: ordered, MaxMemory: most})
				runtime.ReadMemStats(&after)
				if err != nil && !errors.Is(err, ErrMemory) || err != nil && (part >= c.enough && ordered || part > 2) {
					t.Errorf("%s, ordered %t, %d bytes in %d: %v", name, ordered, len(c.data), most, err)
				}
				if err == nil && part < 0.1 {
					t.Errorf("%s, ordered %t: judged in a twentieth of its bytes", name, ordered)
				}
				if took := int64(after.TotalAlloc - before.TotalAlloc); took > most+workers*memoryPerWorker+memoryFixed {
					t.Errorf("%s, ordered %t: %d bytes took %d, want %d at most", name, ordered, len(c.data), took, most)
				}
			}
		}
	}
}

const (
	memoryPerWorker = 3 << 20
	memoryFixed     = 2 << 20
)

// TestContextEndsSorting: a log that puts everything into one bucket in no order cannot hold up a
// worker that is told to stop.
func TestContextEndsSorting(t *testing.T) {
	t.Parallel()
	data := crowded(400_000, 256, "random")
	d := wire.NewDecoder(context.Background(), bytes.NewReader(data), 1<<30)
	rs := newRecords()
	var e wire.Element
	for d.Next(&e) == nil {
		rs.add(&e)
	}
	r := rs.handOver(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := (&sorter{ctx: ctx}).sort(r); err != context.DeadlineExceeded {
		t.Errorf("sorting %d entries ended with %v", r.count, err)
	}
}

// TestVerdictDoesNotDependOnReadSizes: what is wrong within the limit counts before what is beyond
// it.
func TestVerdictDoesNotDependOnReadSizes(t *testing.T) {
	t.Parallel()
	p := readProofs(t, "encoding/missing-value")[0]
	for _, limit := range []int64{1, int64(len(p.data)) / 2, int64(len(p.data)) - 1, int64(len(p.data))} {
		var results []Result
		for _, size := range []int{1, 7, 1 << 20} {
			r, err := Verify(context.Background(), p.name, &sizedReader{p.data, size}, WhatsAppV1(), Options{MaxBytes: limit})
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, r)
		}
		for _, r := range results {
			if r.Reason != results[0].Reason || r.Detail != results[0].Detail {
				t.Errorf("limit %d: %+v", limit, results)
			}
		}
	}
}

// sizedReader gives at most size bytes at once.
type sizedReader struct {
	data []byte
	size int
}

func (s *sizedReader) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), s.size)], s.data)
	s.data = s.data[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestSlabsAreOfTheirSize: whatever was given back, a slab is as large as its place in a proof says.
func TestSlabsAreOfTheirSize(t *testing.T) {
	t.Parallel()
	for range 100 {
		rs := newRecords()
		for i := range 2 * keepSlabs {
			rs.newSlab()
			if want := slabMin << (2 * min(i, slabSizes-1)); len(rs.slab) != want {
				t.Fatalf("slab %d has %d bytes, want %d", i, len(rs.slab), want)
			}
			if i == 2 {
				giveBack(rs.slabs)
				rs.slabs = nil
			}
		}
		giveBack(rs.slabs)
	}
}

// TestRecordsIgnoreWhatFollows: what a chunk held before, and what follows a label in the memory of
// whoever decoded it, is no part of a record.
func TestRecordsIgnoreWhatFollows(t *testing.T) {
	t.Parallel()
	junk, value := bytes.Repeat([]byte{0xff}, recordMax), bytes.Repeat([]byte{0xab}, DigestSize)
	for n := range labelSize + 1 {
		for _, behind := range []int{0, 7, labelSize} {
			memory := bytes.Clone(junk[:n+behind])
			var want [4 + labelSize]byte
			binary.BigEndian.PutUint32(want[:], uint32(8*n))
			for i := range n {
				memory[i] = byte(i + 1)
				want[4+i] = memory[i]
			}
			e := wire.Element{Inserted: n%2 == 0, Bits: 8 * n, Label: memory[:n], Value: value}
			r := record(junk)
			r.put(&e, n)
			var l label
			var got [4 + labelSize]byte
			r.fullLabel(&l)
			l.put(got[:])
			key := binary.BigEndian.Uint64(want[4:])
			if got != want || !bytes.Equal(r.label(), want[4:4+n]) || r.key() != key || leadingBits(e.Label) != key {
				t.Errorf("label of %d bytes before %d others: %x, key %x", n, behind, got, r.key())
			}
			if r.index() != n || r.bits() != 8*n || r.inserted() != e.Inserted || r.size() != recordHead+n || !bytes.Equal(r.value(), value) {
				t.Errorf("label of %d bytes before %d others: the rest of the record is wrong", n, behind)
			}
		}
	}
}
