package validator

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// decodeElement decodes an AzksElement of any shape. Its errors do not say where the element is.
func decodeElement(b []byte, e *element) error {
	var label []byte
	e.value = nil
	err := fields(b, func(num protowire.Number, wire protowire.Type, value []byte, _ uint64) error {
		switch {
		case wire != protowire.BytesType:
		case num == fieldLabel && label != nil:
			return errors.New("two labels")
		case num == fieldLabel:
			label = value
		case num == fieldValue && e.value != nil:
			return errors.New("two values")
		case num == fieldValue:
			e.value = value
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case label == nil:
		return errors.New("no label")
	case e.value == nil:
		return errors.New("no value")
	case len(e.value) != DigestSize:
		return fmt.Errorf("value has %d bytes, want %d", len(e.value), DigestSize)
	}
	if err := decodeLabel(label, e); err != nil {
		return fmt.Errorf("label: %w", err)
	}
	return nil
}

func decodeLabel(b []byte, e *element) error {
	var bits uint64
	hasBits := false
	e.label = nil
	err := fields(b, func(num protowire.Number, wire protowire.Type, value []byte, v uint64) error {
		switch {
		case num == fieldLabelVal && wire == protowire.BytesType:
			if e.label != nil {
				return errors.New("two values")
			}
			e.label = value
		case num == fieldLabelLen && wire == protowire.VarintType:
			if hasBits {
				return errors.New("two lengths")
			}
			bits, hasBits = v, true
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case e.label == nil:
		return errors.New("no value")
	case !hasBits:
		return errors.New("no length")
	case len(e.label) > labelSize:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(e.label), labelSize)
	case bits > labelBits:
		return fmt.Errorf("length %d, at most %d bits are allowed", bits, labelBits)
	}
	e.bits = int(bits)
	return nil
}

// fields calls visit for each field of a message that is held whole. value is not nil for wire type
// bytes; v is the number for wire type varint.
func fields(b []byte, visit func(num protowire.Number, wire protowire.Type, value []byte, v uint64) error) error {
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var value []byte
		var v uint64
		switch wire {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
			value = value[:len(value):len(value)]
			if value == nil {
				value = []byte{}
			}
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, wire, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(num, wire, value, v); err != nil {
			return err
		}
	}
	return nil
}

// trimLabel returns an error if an element's label is not one of an honest tree, and else drops the
// zero bytes past its length.
func trimLabel(e *element) error {
	switch {
	case e.inserted && e.bits != labelBits:
		return fmt.Errorf("inserted label has %d bits, want %d", e.bits, labelBits)
	case e.bits == 0:
		return errors.New("unchanged label has no bits")
	}
	whole, rest := e.bits/8, e.bits%8
	if len(e.label) <= whole {
		return nil
	}
	if rest != 0 {
		if e.label[whole]<<rest != 0 {
			return fmt.Errorf("label of %d bits has a bit set past its end", e.bits)
		}
		whole++
	}
	for _, b := range e.label[whole:] {
		if b != 0 {
			return fmt.Errorf("label of %d bits has a bit set past its end", e.bits)
		}
	}
	e.label = e.label[:whole]
	return nil
}
