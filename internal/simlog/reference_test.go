package simlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/validator"
	"google.golang.org/protobuf/encoding/protowire"
	"lukechampine.com/blake3"
)

// The reference in this file computes digests from the elements of a proof as the description of
// the tree has it, recursively, with strings of '0' and '1' for labels and another BLAKE3. It knows
// neither this package's tree nor the validator's, and judges nothing: labels that an honest tree
// cannot have get the digest that the description gives.

// element is one element of a decoded proof.
type element struct {
	bits  string
	value value
}

// decoded is a proof, read strictly by someone who trusts its writer.
type decoded struct{ inserted, unchanged []element }

// octets are all bytes in binary.
var octets = func() (all [256]string) {
	for i := range all {
		all[i] = fmt.Sprintf("%08b", i)
	}
	return all
}()

func decode(b []byte) (d decoded, err error) {
	fields := func(b []byte, each func(number protowire.Number, varint uint64, data []byte) error) error {
		for len(b) > 0 {
			number, kind, n := protowire.ConsumeTag(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			var varint uint64
			var data []byte
			switch kind {
			case protowire.VarintType:
				varint, n = protowire.ConsumeVarint(b)
			case protowire.BytesType:
				data, n = protowire.ConsumeBytes(b)
			default:
				return fmt.Errorf("wire type %d", kind)
			}
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			if err := each(number, varint, data); err != nil {
				return err
			}
		}
		return nil
	}
	err = fields(b, func(list protowire.Number, _ uint64, b []byte) error {
		var e element
		err := fields(b, func(number protowire.Number, _ uint64, b []byte) error {
			if number == 2 {
				e.value = value(b)
				return nil
			}
			var all strings.Builder
			var length uint64
			err := fields(b, func(number protowire.Number, varint uint64, b []byte) error {
				if number == 2 {
					length = varint
				}
				for _, octet := range b {
					all.WriteString(octets[octet])
				}
				return nil
			})
			padded := all.String() + strings.Repeat("0", 256-all.Len())
			e.bits = padded[:length]
			return err
		})
		if list == 1 {
			d.inserted = append(d.inserted, e)
		} else {
			d.unchanged = append(d.unchanged, e)
		}
		return err
	})
	return d, err
}

// reference is a configuration: its domain label, empty for whatsapp_v1.
type reference string

func (r reference) hash(parts ...[]byte) value {
	return blake3.Sum256(append([]byte(r), bytes.Join(parts, nil)...))
}

func (r reference) leaf(commitment value, epoch uint64) value {
	return r.hash(commitment[:], binary.BigEndian.AppendUint64(nil, epoch))
}

func (r reference) label(bits string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(bits)))
	padded := bits + strings.Repeat("0", 256-len(bits))
	for i := 0; i < 256; i += 8 {
		var octet byte
		for _, bit := range padded[i : i+8] {
			octet = octet<<1 | byte(bit-'0')
		}
		b = append(b, octet)
	}
	return r.labelBytes(b)
}

func (r reference) labelBytes(b []byte) []byte {
	if r == "" {
		hashed := r.hash(b)
		return hashed[:]
	}
	return b
}

// absent is the value and the label of a child that is not there.
func (r reference) absent() (value, []byte) {
	b := make([]byte, 36)
	if r != "" {
		b[4] = 1
		return value{}, b
	}
	for i := range 32 {
		b[4+i] = 1
	}
	empty := r.hash([]byte{0})
	return r.hash(empty[:], r.labelBytes(b)), r.labelBytes(b)
}

// digest is that of the tree of the given elements. No two may have the same label.
func (r reference) digest(elements []element) value {
	var root value
	switch {
	case len(elements) > 0:
		root = r.interior("", elements)
	case r == "":
		root = r.hash([]byte{0})
	}
	if r == "" {
		return r.hash(root[:], r.label(""))
	}
	return root
}

// interior is the value of the node labelled prefix above the elements.
func (r reference) interior(prefix string, elements []element) value {
	var sides [2][]element
	for _, e := range elements {
		side := e.bits[len(prefix)] - '0'
		sides[side] = append(sides[side], e)
	}
	var values [2]value
	var labels [2][]byte
	for i, side := range sides {
		if len(side) == 0 {
			values[i], labels[i] = r.absent()
			continue
		}
		bits := side[0].bits
		for _, e := range side {
			for !strings.HasPrefix(e.bits, bits) {
				bits = bits[:len(bits)-1]
			}
		}
		if labels[i] = r.label(bits); len(side) == 1 {
			values[i] = side[0].value
		} else {
			values[i] = r.interior(bits, side)
		}
	}
	if r == "" {
		left, right := r.hash(values[0][:], labels[0]), r.hash(values[1][:], labels[1])
		return r.hash(left[:], right[:])
	}
	return r.hash(values[0][:], labels[0], values[1][:], labels[1])
}

// digests returns the digests of the trees before and after an epoch.
func (r reference) digests(d decoded, epoch uint64) (before, after value) {
	all := append([]element(nil), d.unchanged...)
	for _, e := range d.inserted {
		all = append(all, element{e.bits, r.leaf(e.value, epoch)})
	}
	return r.digest(d.unchanged), r.digest(all)
}

// published is one proof of a log directory.
type published struct {
	name validator.Name
	data []byte
}

// readLog returns the proofs of a folder of testdata/vectors, by epoch.
func readLog(t *testing.T, folder string) map[uint64]published {
	t.Helper()
	root := os.DirFS("../../testdata/vectors/" + folder)
	log := make(map[uint64]published)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := validator.ParseName(filepath.ToSlash(path))
		if err != nil {
			return err
		}
		data, err := fs.ReadFile(root, path)
		log[name.Epoch] = published{name, data}
		return err
	})
	if err != nil || len(log) == 0 {
		t.Fatalf("%s: %d proofs, error %v", folder, len(log), err)
	}
	return log
}

// vectorLogs are the real logs under testdata.
var vectorLogs = map[string]struct {
	configuration validator.Configuration
	reference     reference
	complete      bool // from epoch 1 on
}{
	"whatsapp-v1/log":    {validator.WhatsAppV1(), "", true},
	"whatsapp-v1/tiny":   {validator.WhatsAppV1(), "", true},
	"whatsapp-v1/medium": {validator.WhatsAppV1(), "", false},
	"experimental/log":   {validator.Experimental("ExampleLabel"), "ExampleLabel", true},
}

func TestReferenceAgreesWithVectors(t *testing.T) {
	t.Parallel()
	for folder, v := range vectorLogs {
		for epoch, p := range readLog(t, folder) {
			d, err := decode(p.data)
			if err != nil {
				t.Fatalf("%s, epoch %d: %v", folder, epoch, err)
			}
			before, after := v.reference.digests(d, epoch)
			if before != value(p.name.PreviousDigest) || after != value(p.name.Digest) {
				t.Errorf("%s, epoch %d: digests %x and %x, want %s", folder, epoch, before, after, p.name)
			}
		}
	}
}
