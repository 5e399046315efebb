package wire

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ktaudit/ktaudit/verdict"
)

// parts of an element's encoding, each of which a case may write in another way.
type parts struct {
	before                            string // the element
	tag, labelTag, valTag, lenTag     string
	elementLen, labelLen, valLen, len string // empty: as it should be
	value, valueLen                   string
	inLabel, inElement                string // after the known fields
}

func plainParts() parts {
	return parts{
		tag: "0a", labelTag: "0a", valTag: "0a", valLen: "20", lenTag: "10", len: "8002",
		value: "12", valueLen: "20",
	}
}

func (p parts) encode(t *testing.T) []byte {
	t.Helper()
	prefix := func(given, body string) string {
		if given == "" {
			n := len(body) / 2
			given = hex.EncodeToString([]byte{byte(n&0x7f) | 0x80, byte(n >> 7)})
		}
		return given + body
	}
	label := p.valTag + p.valLen + strings.Repeat("ab", 32) + p.lenTag + p.len + p.inLabel
	body := p.labelTag + prefix(p.labelLen, label) + p.value + p.valueLen + strings.Repeat("cd", 32) + p.inElement
	data, err := hex.DecodeString(p.before + p.tag + prefix(p.elementLen, body))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// long writes a number of one byte in n bytes.
func long(first byte, n int) string {
	return hex.EncodeToString(append(append([]byte{first | 0x80}, bytes.Repeat([]byte{0x80}, n-2)...), 0))
}

// TestHostileNumbers: numbers are taken in as many bytes as akd 0.13 takes them, wherever they
// stand. scripts/compare-akd asks akd itself.
func TestHostileNumbers(t *testing.T) {
	t.Parallel()
	nested := func(open, closed string, n int) string { return strings.Repeat(open, n) + strings.Repeat(closed, n) }
	cases := map[string]struct {
		change func(*parts)
		ok     bool
	}{
		"plain":                                  {func(*parts) {}, true},
		"tag of five bytes":                      {func(p *parts) { p.tag = long(0x0a, 5) }, true},
		"tag of six bytes":                       {func(p *parts) { p.tag = long(0x0a, 6) }, false},
		"tag of 33 bits":                         {func(p *parts) { p.before = "8880808010" + "00" }, false},
		"unknown tag of 32 bits":                 {func(p *parts) { p.before = "f8ffffff0f" + "00" }, true},
		"label's tag of five bytes":              {func(p *parts) { p.labelTag = long(0x0a, 5) }, true},
		"label's tag of six bytes":               {func(p *parts) { p.labelTag = long(0x0a, 6) }, false},
		"label_val's tag of six bytes":           {func(p *parts) { p.valTag = long(0x0a, 6) }, false},
		"element's length of ten bytes":          {func(p *parts) { p.elementLen = long(0x4a, 10) }, true},
		"element's length of eleven bytes":       {func(p *parts) { p.elementLen = long(0x4a, 11) }, false},
		"label's length of ten bytes":            {func(p *parts) { p.labelLen = long(0x25, 10) }, true},
		"label's length of eleven bytes":         {func(p *parts) { p.labelLen = long(0x25, 11) }, false},
		"label_val's length of five bytes":       {func(p *parts) { p.valLen = long(0x20, 5) }, true},
		"label_val's length of six bytes":        {func(p *parts) { p.valLen = long(0x20, 6) }, false},
		"label_len of five bytes":                {func(p *parts) { p.len = "8082808000" }, true},
		"label_len of six bytes":                 {func(p *parts) { p.len = "808280808000" }, false},
		"label_len of 256 and a 33rd bit":        {func(p *parts) { p.len = "8082808010" }, false},
		"value's length of five bytes":           {func(p *parts) { p.valueLen = long(0x20, 5) }, true},
		"value's length of six bytes":            {func(p *parts) { p.valueLen = long(0x20, 6) }, false},
		"unknown number of ten bytes":            {func(p *parts) { p.before = "18" + long(1, 10) }, true},
		"unknown number of eleven bytes":         {func(p *parts) { p.before = "18" + long(1, 11) }, false},
		"unknown number of 65 bits":              {func(p *parts) { p.before = "18ffffffffffffffffff03" }, false},
		"unknown bytes' length of five bytes":    {func(p *parts) { p.before = "1a" + long(1, 5) + "00" }, true},
		"unknown bytes' length of six bytes":     {func(p *parts) { p.before = "1a" + long(1, 6) + "00" }, false},
		"unknown bytes in an element, six bytes": {func(p *parts) { p.inElement = "1a" + long(1, 6) + "00" }, false},
		"unknown number in a label, ten bytes":   {func(p *parts) { p.inLabel = "18" + long(1, 10) }, true},
		"tag with the number 0":                  {func(p *parts) { p.inLabel = "0000" }, false},
		"wire type 6":                            {func(p *parts) { p.inElement = "1e" }, false},
		"groups, 101 deep":                       {func(p *parts) { p.before = nested("1b", "1c", 101) }, true},
		"groups, 102 deep":                       {func(p *parts) { p.before = nested("1b", "1c", 102) }, false},
		"groups in an element, 100 deep":         {func(p *parts) { p.inElement = nested("1b", "1c", 100) }, true},
		"groups in an element, 101 deep":         {func(p *parts) { p.inElement = nested("1b", "1c", 101) }, false},
		"groups in a label, 99 deep":             {func(p *parts) { p.inLabel = nested("1b", "1c", 99) }, true},
		"groups in a label, 100 deep":            {func(p *parts) { p.inLabel = nested("1b", "1c", 100) }, false},
		"group of known numbers":                 {func(p *parts) { p.inLabel = "0b" + "0a00" + "1001" + "0c" }, true},
		"group that does not end":                {func(p *parts) { p.inElement = "1b" }, false},
		"end of no group":                        {func(p *parts) { p.inElement = "1c" }, false},
		"end of another group":                   {func(p *parts) { p.inElement = "1b24" }, false}, // akd takes it
		"two labels":                             {func(p *parts) { p.inElement = "0a04" + "0a001000" }, false},
		"two values":                             {func(p *parts) { p.inElement = "1220" + strings.Repeat("00", 32) }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := plainParts()
			c.change(&p)
			data := p.encode(t)
			for _, r := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data))} {
				var e Element
				err := NewDecoder(context.Background(), r, 1<<20).Next(&e)
				fault, refused := errors.AsType[*Fault](err)
				switch {
				case c.ok && (err != nil || !e.Inserted || e.Bits != 256 || len(e.Label) != 32 || e.Value[0] != 0xcd):
					t.Errorf("%x: %+v, %v", data, e, err)
				case !c.ok && (!refused || fault.Reason != verdict.MalformedProof):
					t.Errorf("%x: %+v, %v", data, e, err)
				}
			}
		})
	}
}
