package wire

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// decodeElement decodes an AzksElement of any shape. Its errors do not say where the element is.
func decodeElement(b []byte, e *Element) error {
	var label []byte
	e.Value = nil
	err := fields(b, 1, func(num protowire.Number, wire protowire.Type, value []byte, _ uint64) error {
		switch {
		case wire != protowire.BytesType:
		case num == fieldLabel && label != nil:
			return errors.New("two labels")
		case num == fieldLabel:
			label = value
		case num == fieldValue && e.Value != nil:
			return errors.New("two values")
		case num == fieldValue:
			e.Value = value
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case label == nil:
		return errors.New("no label")
	case e.Value == nil:
		return errors.New("no value")
	case len(e.Value) != digestSize:
		return fmt.Errorf("value has %d bytes, want %d", len(e.Value), digestSize)
	}
	if err := decodeLabel(label, e); err != nil {
		return fmt.Errorf("label: %w", err)
	}
	return nil
}

func decodeLabel(b []byte, e *Element) error {
	var bits uint64
	hasBits := false
	e.Label = nil
	err := fields(b, 2, func(num protowire.Number, wire protowire.Type, value []byte, v uint64) error {
		switch {
		case num == fieldLabelVal && wire == protowire.BytesType:
			if e.Label != nil {
				return errors.New("two values")
			}
			e.Label = value
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
	case e.Label == nil:
		return errors.New("no value")
	case !hasBits:
		return errors.New("no length")
	case len(e.Label) > labelSize:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(e.Label), labelSize)
	case bits > labelBits:
		return fmt.Errorf("length %d, at most %d bits are allowed", bits, labelBits)
	}
	e.Bits = int(bits)
	return nil
}

// fields calls visit for each field of a message that is held whole and stands within so many
// others: 1 for an element, 2 for a label. value is not nil for wire type bytes; v is the number
// for wire type varint. visit does not see what is in groups.
func fields(b []byte, depth int, visit func(num protowire.Number, wire protowire.Type, value []byte, v uint64) error) error {
	var open groups
	for len(b) > 0 {
		tag, n, err := number(b, narrow)
		if err != nil {
			return err
		}
		num, wire, err := splitTag(tag)
		if err != nil {
			return err
		}
		b = b[n:]
		var value []byte
		var v uint64
		switch wire {
		case protowire.BytesType:
			size := narrow
			if depth == 1 && num == fieldLabel && len(open) == 0 {
				size = wide // a message
			}
			length, n, err := number(b, size)
			if err != nil {
				return err
			}
			if length > uint64(len(b)-n) {
				return fmt.Errorf("field %d ends after %d of %d bytes", num, len(b)-n, length)
			}
			end := n + int(length)
			value, b = b[n:end:end], b[end:]
		case protowire.VarintType:
			size := wide
			if depth == 2 && num == fieldLabelLen && len(open) == 0 {
				size = narrow
			}
			if v, n, err = number(b, size); err != nil {
				return err
			}
			b = b[n:]
		case protowire.Fixed32Type, protowire.Fixed64Type:
			size := 4
			if wire == protowire.Fixed64Type {
				size = 8
			}
			if len(b) < size {
				return fmt.Errorf("field %d ends after %d of %d bytes", num, len(b), size)
			}
			b = b[size:]
		default:
			if err := open.step(num, wire, maxGroups-depth); err != nil {
				return fmt.Errorf("field %d: %w", num, err)
			}
			continue
		}
		if len(open) > 0 {
			continue
		}
		if err := visit(num, wire, value, v); err != nil {
			return err
		}
	}
	if len(open) > 0 {
		return errors.New("ends within a group")
	}
	return nil
}

// Trim returns an error if an element's label is not one of an honest tree, and else drops the
// zero bytes past its length.
func (e *Element) Trim() error {
	switch {
	case e.Inserted && e.Bits != labelBits:
		return fmt.Errorf("inserted label has %d bits, want %d", e.Bits, labelBits)
	case e.Bits == 0:
		return errors.New("unchanged label has no bits")
	}
	whole, rest := e.Bits/8, e.Bits%8
	if len(e.Label) <= whole {
		return nil
	}
	if rest != 0 {
		if e.Label[whole]<<rest != 0 {
			return fmt.Errorf("label of %d bits has a bit set past its end", e.Bits)
		}
		whole++
	}
	for _, b := range e.Label[whole:] {
		if b != 0 {
			return fmt.Errorf("label of %d bits has a bit set past its end", e.Bits)
		}
	}
	e.Label = e.Label[:whole]
	return nil
}
