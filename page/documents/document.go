package documents

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// Document is what stands at a path.
type Document struct {
	Kind        string // for metrics
	ContentType string
	Cache       string
	Body        []byte
	packed      []byte // gzip; nil: it is not worth it
	tag         string
}

// How long a document may be taken for the present one.
const (
	ForEver    = "public, max-age=31536000, immutable"
	ForSeconds = "public, max-age=5"
	NotAtAll   = "public, no-cache"
)

const (
	TypeHTML = "text/html; charset=utf-8"
	TypeJSON = "application/json"
	TypeAtom = "application/atom+xml; charset=utf-8"
	TypeSVG  = "image/svg+xml"
	TypeText = "text/plain; charset=utf-8"
)

// New is a document of some bytes.
func New(kind, contentType, cache string, body []byte) *Document {
	sum := sha256.Sum256(body)
	d := &Document{Kind: kind, ContentType: contentType, Cache: cache, Body: body, tag: hex.EncodeToString(sum[:16])}
	if len(body) > 1000 && isText(contentType) {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		_, _ = w.Write(body)
		_ = w.Close() // into memory
		d.packed = b.Bytes()
	}
	return d
}

func isText(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") || contentType == TypeJSON || contentType == TypeAtom || contentType == TypeSVG ||
		contentType == "application/wasm"
}

// JSON is a document of a value.
func JSON(kind, cache string, v any) (*Document, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return New(kind, TypeJSON, cache, b.Bytes()), err
}

// Send answers with a document, or that the visitor has it.
func (d *Document) Send(w http.ResponseWriter, r *http.Request) int {
	h := w.Header()
	h.Set("Cache-Control", d.Cache)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", d.ContentType)
	tag, body := `"`+d.tag+`"`, d.Body
	if d.packed != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		tag, body = `"`+d.tag+`-gzip"`, d.packed
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	for offered := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if offered = strings.TrimPrefix(strings.TrimSpace(offered), "W/"); offered == tag || offered == "*" {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return http.StatusNotModified
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the visitor may be gone
	}
	return http.StatusOK
}
