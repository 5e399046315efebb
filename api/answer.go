package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// How long an answer may be taken for the present one.
const (
	forEver    = "public, max-age=31536000, immutable" // what is on record once and never changes
	forAnHour  = "public, max-age=3600"
	forSeconds = "public, max-age=5"
	notAtAll   = "public, no-cache" // ask again each time
)

// gzipSuffix is what the tag of a compressed answer ends in.
const gzipSuffix = "-gzip"

// sent is how an answer is sent.
type sent struct{ contentType, cache string }

func (a *api) sendJSON(w http.ResponseWriter, r *http.Request, v any, cache string) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	return a.send(w, r, data, sent{"application/json", cache})
}

// encode is the JSON of an answer, a line.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// send answers with bytes, or that the client has them.
func (a *api) send(w http.ResponseWriter, r *http.Request, data []byte, how sent) error {
	sum := sha256.Sum256(data)
	tag := hex.EncodeToString(sum[:16])
	h := w.Header()
	h.Set("Cache-Control", how.cache)
	if known, ok := matching(r.Header.Values("If-None-Match"), tag); ok {
		h.Set("ETag", known)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("ETag", `"`+tag+`"`)
	h.Set("Content-Type", how.contentType)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // the client may be gone
	}
	return nil
}

// matching returns which of a client's tags is this one, compressed or not.
func matching(offered []string, tag string) (string, bool) {
	for _, line := range offered {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" {
				return `"` + tag + `"`, true
			}
			bare, isQuoted := strings.CutPrefix(strings.TrimPrefix(one, "W/"), `"`)
			if bare, isEnded := strings.CutSuffix(bare, `"`); isQuoted && isEnded && strings.TrimSuffix(bare, gzipSuffix) == tag {
				return one, true
			}
		}
	}
	return "", false
}
