package wire

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ktaudit/ktaudit/verdict"
	"google.golang.org/protobuf/encoding/protowire"
)

// The proof is the protobuf message
//
//	message SingleAppendOnlyProof {
//		repeated AzksElement inserted        = 1;
//		repeated AzksElement unchanged_nodes = 2;
//	}
//	message AzksElement { required NodeLabel label = 1; required bytes value = 2; }
//	message NodeLabel   { required bytes label_val = 1; required uint32 label_len = 2; }
//
// of the akd crate, and package wire reads it as strictly as akd or more so; see docs/design.md.
// Fields of other numbers, and these numbers with another wire type, are unknown and skipped, as
// protobuf demands. Two labels in one element, or two values, are refused: decoders differ in which
// of the two counts.
const (
	fieldInserted  = protowire.Number(1)
	fieldUnchanged = protowire.Number(2)
	fieldLabel     = protowire.Number(1)
	fieldValue     = protowire.Number(2)
	fieldLabelVal  = protowire.Number(1)
	fieldLabelLen  = protowire.Number(2)

	digestSize    = 32  // bytes of a value
	labelSize     = 32  // bytes of a label
	labelBits     = 256 // bits of a label
	maxElementLen = 64 << 10
	maxPlainLen   = 2 + 2 + 2 + labelSize + 3 + 2 + digestSize
	maxEmptyReads = 100
)

// Element is one decoded AzksElement. Label and Value point into the decoder's buffer until the
// next call.
type Element struct {
	Inserted bool
	Bits     int    // label_len
	Label    []byte // label_val without trailing zero bytes that lie past bits, at most 32 bytes
	Value    []byte // 32 bytes
}

// A Fault is what is wrong with a proof. Detail is one line for people.
type Fault struct {
	Reason verdict.Reason
	Detail string
}

func (f *Fault) Error() string { return string(f.Reason) + ": " + f.Detail }

func malformed(format string, args ...any) error {
	return &Fault{verdict.MalformedProof, fmt.Sprintf(format, args...)}
}

// Decoder reads a proof's elements one after another. It holds one buffer, which may be as long as
// one element.
type Decoder struct {
	ctx      context.Context
	r        io.Reader
	maxBytes int64

	buf      []byte
	pos, end int   // buf[pos:end] is read and not yet decoded
	base     int64 // offset of buf[0] in the proof
	eof      bool

	Elements int // decoded so far
}

// NewDecoder returns a decoder that refuses to read more than maxBytes.
func NewDecoder(ctx context.Context, r io.Reader, maxBytes int64) *Decoder {
	return &Decoder{ctx: ctx, r: r, maxBytes: maxBytes, buf: make([]byte, 16<<10)}
}

// Offset is how many bytes of the proof were decoded.
func (d *Decoder) Offset() int64 { return d.base + int64(d.pos) }

// Next decodes the next element into e. It returns io.EOF after the last one, a *Fault for
// bytes that are not a proof, and any other error if the bytes could not be read.
func (d *Decoder) Next(e *Element) error {
	for !d.plain(e) {
		if d.end-d.pos < maxPlainLen {
			err := d.fill(maxPlainLen)
			if err == nil {
				continue
			}
			if err != io.EOF || d.pos == d.end {
				return err
			}
		}
		if found, err := d.field(e); found || err != nil {
			return err
		}
	}
	return nil
}

// plain decodes the next element if it has the shape that encoders write: every field once, in
// order, with short lengths. It wants the longest such element's length in the buffer, and leaves
// any other shape, valid or not, to field.
func (d *Decoder) plain(e *Element) bool {
	if d.end-d.pos < maxPlainLen {
		return false
	}
	b := (*[maxPlainLen]byte)(d.buf[d.pos:])
	if b[0] != 0x0a && b[0] != 0x12 || b[2] != 0x0a || b[4] != 0x0a {
		return false
	}
	elementLen, labelLen, n := int(b[1]), int(b[3]), int(b[5])
	if n > labelSize || b[6+n] != 0x10 {
		return false
	}
	bits, at := int(b[7+n]), 8+n
	if bits >= 0x80 {
		bits, at = bits&0x7f|int(b[8+n])<<7, 9+n
		if b[8+n] >= 0x80 {
			return false
		}
	}
	if labelLen != at-4 || b[at] != 0x12 || b[at+1] != digestSize || elementLen != at+digestSize || bits > labelBits {
		return false
	}
	e.Inserted = b[0] == 0x0a
	e.Bits = bits
	e.Label = b[6 : 6+n]
	e.Value = b[at+2 : at+2+digestSize]
	d.pos += at + 2 + digestSize
	d.Elements++
	return true
}

// field decodes one field of the proof, of whatever shape. found says that it was an element.
func (d *Decoder) field(e *Element) (found bool, err error) {
	start := d.Offset()
	num, wire, err := d.tag()
	if err != nil {
		return false, err
	}
	if wire != protowire.BytesType || num != fieldInserted && num != fieldUnchanged {
		return false, d.skip(num, wire, start)
	}
	length, err := d.number(wide)
	if err != nil {
		return false, err
	}
	if length > maxElementLen {
		return false, d.tooLong(length, start)
	}
	if err := d.need(int(length), start); err != nil {
		return false, err
	}
	body := d.buf[d.pos : d.pos+int(length)]
	if err := decodeElement(body, e); err != nil {
		return false, malformed("element %d at byte %d: %s", d.Elements, start, err)
	}
	e.Inserted = num == fieldInserted
	d.pos += int(length)
	d.Elements++
	return true, nil
}

// tooLong judges an element that claims more than maxElementLen bytes. If the proof ends before
// that it is malformed; if the bytes are there, padded with unknown fields, it is too large to
// hold.
func (d *Decoder) tooLong(length uint64, start int64) error {
	if length > uint64(d.maxBytes) {
		return malformed("element %d at byte %d: claims %d bytes", d.Elements, start, length)
	}
	if err := d.discard(int64(length), start); err != nil {
		return err
	}
	return &Fault{verdict.BatchTooLarge, fmt.Sprintf("element %d at byte %d: %d bytes, more than the %d an element may have",
		d.Elements, start, length, maxElementLen)}
}

// skip passes over an unknown field whose tag was just read, groups with all that is in them.
func (d *Decoder) skip(num protowire.Number, wire protowire.Type, start int64) error {
	var open groups
	for {
		var err error
		switch wire {
		case protowire.VarintType:
			_, err = d.number(wide)
		case protowire.Fixed32Type:
			err = d.discard(4, start)
		case protowire.Fixed64Type:
			err = d.discard(8, start)
		case protowire.BytesType:
			var length uint64
			if length, err = d.number(narrow); err != nil {
				return err
			}
			if length > uint64(d.maxBytes) {
				return malformed("field %d at byte %d: claims %d bytes", num, start, length)
			}
			err = d.discard(int64(length), start)
		default:
			if err := open.step(num, wire, maxGroups); err != nil {
				return malformed("field %d at byte %d: %s", num, start, err)
			}
		}
		if err != nil || len(open) == 0 {
			return err
		}
		if num, wire, err = d.tag(); err != nil {
			return err
		}
	}
}

// tag reads a field's number and wire type.
func (d *Decoder) tag() (protowire.Number, protowire.Type, error) {
	at := d.Offset()
	v, err := d.number(narrow)
	if err != nil {
		return 0, 0, err
	}
	num, wire, err := splitTag(v)
	if err != nil {
		return 0, 0, malformed("byte %d: %s", at, err)
	}
	return num, wire, nil
}

func (d *Decoder) number(size int) (uint64, error) {
	if err := d.fill(wide); err != nil && err != io.EOF {
		return 0, err
	}
	v, n, err := number(d.buf[d.pos:d.end], size)
	if err != nil {
		return 0, malformed("byte %d: %s", d.Offset(), err)
	}
	d.pos += n
	return v, nil
}

// need makes the next n bytes available, or returns an error with the field that the proof's end
// cuts off.
func (d *Decoder) need(n int, start int64) error {
	err := d.fill(n)
	if err == io.EOF {
		return malformed("field at byte %d: ends after %d of %d bytes", start, d.end-d.pos, n)
	}
	return err
}

// discard skips n bytes, however many.
func (d *Decoder) discard(n int64, start int64) error {
	for n > 0 {
		step := min(n, int64(len(d.buf)))
		if err := d.need(int(step), start); err != nil {
			return err
		}
		d.pos += int(step)
		n -= step
	}
	return nil
}

// fill reads until n bytes are available. It returns io.EOF when the proof ends before that.
func (d *Decoder) fill(n int) error {
	if d.end-d.pos >= n {
		return nil
	}
	d.makeRoom(n)
	for empty := 0; d.end-d.pos < n; {
		if d.eof {
			return io.EOF
		}
		if err := d.ctx.Err(); err != nil {
			return err
		}
		// Bytes within the limit are decoded before any beyond it are read, so that the verdict
		// does not depend on how much the reader returns at once.
		space := d.buf[d.end:]
		if left := d.maxBytes - d.base - int64(d.end); left < int64(len(space)) {
			space = space[:max(left, 1)]
		}
		got, err := d.r.Read(space)
		d.end += got
		if d.base+int64(d.end) > d.maxBytes {
			return &Fault{verdict.BatchTooLarge, fmt.Sprintf("more than %d bytes", d.maxBytes)}
		}
		switch {
		case err == io.EOF:
			d.eof = true
		case err != nil:
			return readError(err, d.base+int64(d.end))
		case got == 0:
			if empty++; empty == maxEmptyReads {
				return readError(io.ErrNoProgress, d.base+int64(d.end))
			}
		}
	}
	return nil
}

// makeRoom moves what is not decoded to the front of the buffer, which grows with the proof.
func (d *Decoder) makeRoom(n int) {
	size := len(d.buf)
	if d.base+int64(d.end) > int64(4*size) && size < 256<<10 {
		size *= 4
	}
	buf := d.buf
	if size = max(size, n); size > len(buf) {
		buf = make([]byte, size)
	}
	d.end = copy(buf, d.buf[d.pos:d.end])
	d.buf, d.base, d.pos = buf, d.base+int64(d.pos), 0
}

// readError wraps a reader's error, except that contexts' errors are passed on as they are.
func readError(err error, offset int64) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("read at byte %d: %w", offset, err)
}
