package validator

import (
	"bytes"
	"context"
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
