package wire

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"
)

// decoded is an element that outlasts the decoder's next.
type decoded struct {
	inserted     bool
	bits         int
	label, value string
}

// decodeAll returns a proof's elements, and the error that ends them.
func decodeAll(r io.Reader, next func(*Decoder, *Element) error) (all []decoded, err error) {
	d := NewDecoder(context.Background(), r, 1<<20)
	for {
		var e Element
		if err := next(d, &e); err != nil {
			return all, err
		}
		all = append(all, decoded{e.Inserted, e.Bits, string(e.Label), string(e.Value)})
	}
}

// nextByField is Decoder.Next without the quick way for the usual shape.
func nextByField(d *Decoder, e *Element) error {
	for {
		if err := d.fill(maxPlainLen); err != nil && err != io.EOF {
			return err
		}
		if d.pos == d.end {
			return io.EOF
		}
		if found, err := d.field(e); found || err != nil {
			return err
		}
	}
}

// mustAgree: the quick way takes what the other takes, and finds the same in it, however little is
// read at once.
func mustAgree(t *testing.T, proof []byte) {
	t.Helper()
	want, wantErr := decodeAll(bytes.NewReader(proof), nextByField)
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(proof), "in halves": iotest.HalfReader(bytes.NewReader(proof))} {
		got, err := decodeAll(r, (*Decoder).Next)
		if !slices.Equal(got, want) || err.Error() != wantErr.Error() {
			t.Fatalf("%x, read %s: %v, %v; field by field %v, %v", proof, name, got, err, want, wantErr)
		}
	}
}

// nearlyPlain returns a few elements in about the usual shape, some of them damaged or cut off.
func nearlyPlain(r *rand.Rand) []byte {
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	var proof []byte
	for range r.IntN(5) {
		n, bits := r.IntN(labelSize+4), r.IntN(labelBits+44)
		label := append(append([]byte{0x0a, byte(n)}, random(n)...), 0x10)
		if bits < 0x80 {
			label = append(label, byte(bits))
		} else {
			label = append(label, byte(bits)|0x80, byte(bits>>7))
		}
		body := append([]byte{0x0a, byte(len(label))}, label...)
		body = append(append(body, 0x12, digestSize), random(digestSize)...)
		proof = append(append(proof, []byte{0x0a, 0x12}[r.IntN(2)], byte(len(body))), body...)
	}
	for range r.IntN(3) {
		if len(proof) > 0 {
			proof[r.IntN(len(proof))] = []byte{byte(r.Uint32()), 0, 0x0a, 0x10, 0x12, 0x80, 0xff, digestSize, digestSize + 1}[r.IntN(9)]
		}
	}
	if r.IntN(4) == 0 {
		proof = proof[:r.IntN(len(proof)+1)]
	}
	return proof
}

func TestTheQuickWayDecodesAlike(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		mustAgree(t, nearlyPlain(r))
	}
}

func FuzzDecoder(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		f.Add(nearlyPlain(r))
	}
	f.Fuzz(mustAgree)
}
