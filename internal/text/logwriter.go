package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// nameLimit is how much is left of a field's name, in bytes.
const nameLimit = 32

// LogWriter writes log lines, each a JSON object, as lines that are safe to keep and to show: of at
// most limit bytes, and with nothing in them that changes what a terminal does. Set up once, it
// saves everybody who logs an error from thinking of who made its text.
//
// A line that is so already passes as it is. In others the strings are cleaned, and shortened as
// far as it takes; the first fields of a line, such as level and time, are the last to go.
type LogWriter struct {
	w     io.Writer
	limit int
}

// NewLogWriter returns a writer of log lines to w. A limit has room for at least a level, a time
// and a few words: 256.
func NewLogWriter(w io.Writer, limit int) *LogWriter {
	return &LogWriter{w, max(limit, 8*nameLimit)}
}

// Write writes one line.
func (l *LogWriter) Write(line []byte) (int, error) {
	safe := line
	if len(line) > l.limit || !isPlain(line) {
		safe = l.clean(line)
	}
	if _, err := l.w.Write(safe); err != nil {
		return 0, err
	}
	return len(line), nil
}

// isPlain reports whether a line, in JSON, has nothing in its strings but what is printed as
// itself. In JSON, control characters are escapes: \n and the like, or \u and a number.
func isPlain(line []byte) bool {
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == '\n' && i == len(line)-1:
		case c < ' ' || c == 0x7f:
			return false
		case c == '\\':
			if i++; i == len(line) || line[i] != '"' && line[i] != '\\' && line[i] != '/' {
				return false
			}
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(line[i:])
			if r == utf8.RuneError || !strconv.IsPrint(r) {
				return false
			}
			i += size
			continue
		}
		i++
	}
	return true
}

// field is one of a line's.
type field struct {
	name  string
	value json.RawMessage
}

// clean makes a line safe. What is no JSON object is taken for the text of one.
func (l *LogWriter) clean(line []byte) []byte {
	fields, err := fieldsOf(line)
	if err != nil {
		fields = []field{{"message", quoted(string(line))}}
	}
	for limit := l.limit; ; limit /= 2 {
		var out bytes.Buffer
		out.WriteByte('{')
		for i, f := range fields {
			if i > 0 {
				out.WriteByte(',')
			}
			out.Write(quoted(Clean(f.name, nameLimit)))
			out.WriteByte(':')
			out.Write(cleanValue(f.value, limit))
		}
		out.WriteString("}\n")
		if out.Len() <= l.limit {
			return out.Bytes()
		}
		if limit < 2*nameLimit { // so many fields that it is none of ours
			limit, fields = 2*nameLimit, fields[:len(fields)/2]
		}
	}
}

// fieldsOf reads an object's fields in their order.
func fieldsOf(line []byte) (fields []field, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(err, errors.New("no object"))
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: name.(string)} // an object's names are strings
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	_, err = d.Token()
	return fields, err
}

// cleanValue makes a value safe that takes at most about limit bytes: a string is cleaned, a number
// or a short and plain list stays, and any other list or object becomes a string.
func cleanValue(value json.RawMessage, limit int) json.RawMessage {
	var s string
	switch {
	case json.Unmarshal(value, &s) == nil && value[0] == '"':
		return quoted(Clean(s, limit))
	case len(value) <= limit && isPlain(value):
		return value
	}
	return quoted(Clean(string(value), limit))
}

func quoted(s string) json.RawMessage {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always can be, into memory
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}
