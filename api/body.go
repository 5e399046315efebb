package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// bodyTimeout is how long a body may take, all in all.
const bodyTimeout = 10 * time.Second

// readBody reads a body of JSON.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if text := r.Header.Get("Content-Type"); text != "" {
		if kind, _, err := mime.ParseMediaType(text); err != nil || kind != "application/json" {
			return nil, &problem{kind: kindMalformed, detail: "the body must be application/json", hangUp: true}
		}
	}
	tooLarge := &problem{kind: kindTooLarge, detail: "the body is too large", hangUp: true}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(bodyTimeout)) // not there in some tests
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		// Or else a deadline that passes while the request is answered would end it.
		_ = connection.SetReadDeadline(time.Time{})
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &problem{kind: kindSlow, detail: "the body did not come in time", hangUp: true}
	}
	return nil, &problem{kind: kindMalformed, detail: "the body ended early", hangUp: true}
}

// parse reads one JSON object with the fields that must be there. It refuses what two readers could
// understand in two ways; unknown fields are passed over.
func parse(body []byte, v any, required ...string) error {
	fields, err := fieldsOf(body)
	if err != nil {
		return malformed("the body is not one JSON object: %.200s", err)
	}
	for _, name := range required {
		if !slices.Contains(fields, name) {
			return malformed("the field %s is missing", name)
		}
	}
	if err := json.Unmarshal(body, v); err != nil {
		return malformed("a field of the body is of the wrong kind: %.200s", err)
	}
	return nil
}

// fieldsOf returns the names of an object's fields that have a value. encoding/json alone would let
// a later field of the same name win, and replace bytes that are not UTF-8.
func fieldsOf(body []byte) ([]string, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	var names []string
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("a field without a name")
		}
		folded := strings.ToLower(strings.ToUpper(name)) // as encoding/json compares names
		if seen[folded] {
			return nil, errors.New("a field comes twice")
		}
		seen[folded] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if string(value) != "null" {
			names = append(names, name)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return names, nil
}
