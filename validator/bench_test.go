package validator

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/wire"
	"github.com/ktaudit/ktaudit/verdict"
)

// benchProof encodes a proof with the shape of a big log's: inserted leaves, about twelve unchanged
// siblings to each, in akd's order. Its digests are not computed; a mismatch costs as much as a
// match.
func benchProof(elements int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(elements)))
	leaves := randomLeaves(r, max(elements/13, 1), 0)
	slices.SortFunc(leaves, func(a, b refElement) int { return bytes.Compare(a.label[:], b.label[:]) })
	var proof []refElement
	for i := range leaves {
		leaves[i].inserted = true
	}
	// Below each leaf's place among its neighbours hang siblings of the path to it, one a level.
	for i, e := range leaves {
		depth := 0
		for _, j := range []int{i - 1, i + 1} {
			if j >= 0 && j < len(leaves) {
				depth = max(depth, int(labelOf(e).commonPrefix(labelOf(leaves[j])))+1)
			}
		}
		for d := depth; d < depth+12; d++ {
			sibling := refElement{bits: d + 1}
			copy(sibling.label[:], e.label[:])
			sibling.label[d/8] ^= 0x80 >> (d % 8)
			for b := d + 1; b < labelBits; b++ {
				sibling.label[b/8] &^= 0x80 >> (b % 8)
			}
			fillRandom(r, sibling.value[:])
			proof = append(proof, sibling)
		}
	}
	proof = append(proof, leaves...)
	slices.SortStableFunc(proof, akdOrder)
	return encode(proof)
}

func labelOf(e refElement) *label {
	l := &label{length: int32(e.bits)}
	for i := range l.words {
		l.words[i] = binary.BigEndian.Uint64(e.label[8*i:])
	}
	return l
}

func BenchmarkVerify(b *testing.B) {
	for _, elements := range []int{60, 1000, 10_000, 100_000, 1_000_000} {
		data := benchProof(elements)
		for _, c := range []Configuration{WhatsAppV1(), Experimental("ExampleLabel")} {
			b.Run(fmt.Sprintf("%s/%d", c.kind.name, elements), func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					r, err := Verify(context.Background(), Name{Epoch: 7}, bytes.NewReader(data), c, Options{Ordered: true})
					if err != nil || r.Reason != verdict.PreviousDigestMismatch {
						b.Fatal(r, err)
					}
					n = r.Inserted + r.Unchanged
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
			})
		}
	}
}

// BenchmarkSmallEpoch is an epoch of 20 insertions as akd wrote it.
func BenchmarkSmallEpoch(b *testing.B) {
	p := readProofs(b, "whatsapp-v1/log/20")[0]
	for b.Loop() {
		if r, err := Verify(context.Background(), p.name, bytes.NewReader(p.data), WhatsAppV1(), Options{}); err != nil || r.Outcome != Verified {
			b.Fatal(r, err)
		}
	}
}

// BenchmarkConcurrent is as many verifications at once as there are cores.
func BenchmarkConcurrent(b *testing.B) {
	data := benchProof(400_000)
	for _, jobs := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(jobs), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				done := make(chan error, jobs)
				for range jobs {
					go func() {
						_, err := Verify(context.Background(), Name{Epoch: 7}, bytes.NewReader(data), WhatsAppV1(), Options{Ordered: true})
						done <- err
					}()
				}
				for range jobs {
					if err := <-done; err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(jobs)*float64(b.N)/b.Elapsed().Seconds(), "proofs/s")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	data := benchProof(100_000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		d := wire.NewDecoder(context.Background(), bytes.NewReader(data), 1<<30)
		var e wire.Element
		for {
			if err := d.Next(&e); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
