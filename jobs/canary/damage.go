package canary

import (
	"bytes"
	"context"
	"io"

	"github.com/ktaudit/ktaudit/internal/wire"
	"google.golang.org/protobuf/encoding/protowire"
)

// element is one element of a proof, with bytes of its own.
type element struct {
	inserted bool
	bits     int
	label    []byte
	value    []byte
}

// decode reads a proof that was verified, which is at most MaxProof bytes long.
func decode(ctx context.Context, proof []byte) ([]element, error) {
	d := wire.NewDecoder(ctx, bytes.NewReader(proof), MaxProof)
	var elements []element
	for {
		var e wire.Element
		switch err := d.Next(&e); err {
		case nil:
			elements = append(elements, element{e.Inserted, e.Bits, bytes.Clone(e.Label), bytes.Clone(e.Value)})
		case io.EOF:
			return elements, nil
		default:
			return nil, err
		}
	}
}

// encodeFlipped is the proof with one bit of one element's value flipped. Every value goes into
// both digests or into the second, so no digest holds any more.
func encodeFlipped(elements []element, at, bit int) []byte {
	return encode(elements, func(i int, e element) []element {
		if i == at {
			e.value = bytes.Clone(e.value)
			e.value[bit/8] ^= 1 << (bit % 8)
		}
		return []element{e}
	})
}

// encodeTwice is the proof with one element listed twice. A verifier in which an element replaces
// another one with the same label computes both digests as before.
func encodeTwice(elements []element, at int) []byte {
	return encode(elements, func(i int, e element) []element {
		if i == at {
			return []element{e, e}
		}
		return []element{e}
	})
}

// encode writes a proof as akd does: SingleAppendOnlyProof with its fields inserted (1) and
// unchanged (2), each an AzksElement of label and value.
func encode(elements []element, change func(int, element) []element) []byte {
	var proof []byte
	for i, e := range elements {
		for _, e := range change(i, e) {
			proof = e.append(proof)
		}
	}
	return proof
}

func (e element) append(proof []byte) []byte {
	label := protowire.AppendTag(nil, 1, protowire.BytesType)
	label = protowire.AppendBytes(label, e.label)
	label = protowire.AppendTag(label, 2, protowire.VarintType)
	label = protowire.AppendVarint(label, uint64(e.bits))

	body := protowire.AppendTag(nil, 1, protowire.BytesType)
	body = protowire.AppendBytes(body, label)
	body = protowire.AppendTag(body, 2, protowire.BytesType)
	body = protowire.AppendBytes(body, e.value)

	field := protowire.Number(2)
	if e.inserted {
		field = 1
	}
	return protowire.AppendBytes(protowire.AppendTag(proof, field, protowire.BytesType), body)
}
