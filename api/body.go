package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/text"
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
	// Not there in some tests. The server takes it back once it has read the body.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
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

// parse reads one JSON object with the fields that must be there; unknown ones are passed over.
func parse(body []byte, v any, required ...string) error {
	var fields map[string]json.RawMessage
	if err := client.Decode(body, &fields); err != nil {
		return malformed("the body is not one JSON object: %s", undecodable(err))
	}
	for _, name := range required {
		if value := fields[name]; value == nil || string(value) == "null" {
			return malformed("the field %s is missing", name)
		}
	}
	if err := json.Unmarshal(body, v); err != nil {
		return malformed("a field of the body is of the wrong kind: %s", undecodable(err))
	}
	return nil
}

// undecodable says why JSON cannot be decoded, in words of the API and not of Go.
func undecodable(err error) string {
	switch wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); {
	case err == io.EOF:
		return "it is empty"
	case err == io.ErrUnexpectedEOF:
		return "it ends early"
	case ok && wrong.Field == "":
		return "it is " + text.Clean(wrong.Value, maxDetail)
	case ok:
		want := map[reflect.Kind]string{
			reflect.Uint64: "a whole number that is not negative", reflect.String: "a string", reflect.Bool: "true or false",
		}[wrong.Type.Kind()]
		return fmt.Sprintf("%s is %s, want %s", wrong.Field, text.Clean(wrong.Value, maxDetail), cmp.Or(want, "another"))
	}
	return text.Clean(err.Error(), maxDetail)
}

// maxDetail bounds what is said in words that a client or a log chose.
const maxDetail = 200
