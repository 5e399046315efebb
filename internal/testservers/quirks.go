package testservers

import (
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Quirk is how a server that speaks S3 differs from Amazon's, for good.
type Quirk string

// The quirks. All are of writing.
const (
	Overwrites      Quirk = "overwrites"         // takes no notice of If-None-Match
	BadCondition    Quirk = "bad condition"      // 400 to If-None-Match
	NoConditions    Quirk = "no conditions"      // 501 to If-None-Match
	NoChecksums     Quirk = "no checksums"       // 501 to the checksums that AWS's library adds
	ReadOnly        Quirk = "read-only"          // 403 to whatever writes
	OneWriteASecond Quirk = "one write a second" // of each key; 429 to others
)

// Be gives the server quirks, in place of those it had.
func (f *FaultyS3) Be(quirks ...Quirk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quirks, f.written = quirks, map[string]time.Time{}
}

// Throttled says how many writes came too soon for OneWriteASecond.
func (f *FaultyS3) Throttled() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.throttled
}

// refuses answers a request as the quirks demand, or returns false.
func (f *FaultyS3) refuses(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPut && r.Method != http.MethodPost && r.Method != http.MethodDelete {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	conditional, last := r.Header.Get("If-None-Match") != "", f.written[r.URL.Path]
	for _, quirk := range f.quirks {
		switch {
		case quirk == Overwrites && conditional: // the signature has the header in it
			_ = os.Remove(filepath.Join(f.buckets(), filepath.FromSlash(r.URL.Path)))
		case quirk == BadCondition && conditional:
			answer(w, http.StatusBadRequest, "InvalidRequest")
			return true
		case quirk == NoConditions && conditional, quirk == NoChecksums && r.Header.Get("X-Amz-Sdk-Checksum-Algorithm") != "":
			answer(w, http.StatusNotImplemented, "NotImplemented")
			return true
		case quirk == ReadOnly:
			answer(w, http.StatusForbidden, "AccessDenied")
			return true
		case quirk == OneWriteASecond && time.Since(last) < time.Second:
			f.throttled++
			w.Header().Set("Retry-After", "1")
			answer(w, http.StatusTooManyRequests, "TooManyRequests")
			return true
		case quirk == OneWriteASecond:
			f.written[r.URL.Path] = time.Now()
		}
	}
	return false
}
