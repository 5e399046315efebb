package s3listtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob/memblob"
)

func get(t *testing.T, url string) (string, *http.Response) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), r
}

// TestTricks: what the hostile tests of other packages rely on.
func TestTricks(t *testing.T) {
	t.Parallel()
	behind := memblob.OpenBucket(nil)
	defer behind.Close()
	server := s3listtest.New(t, behind)
	server.Replace(t, "7/a/b", "content")
	const listing = "/?list-type=2&prefix=7/"

	server.Lag(time.Hour)
	if body, _ := get(t, server.URL+listing); strings.Contains(body, "7/a/b") {
		t.Errorf("the listing does not lag: %s", body)
	}
	if body, _ := get(t, server.URL+"/7/a/b"); body != "content" {
		t.Errorf("the object lags: %s", body)
	}
	server.PassLag(time.Hour)
	if body, _ := get(t, server.URL+listing); !strings.Contains(body, "7/a/b") {
		t.Errorf("the listing lags for ever: %s", body)
	}

	server.Pretend("7/a/b", 2<<30)
	server.ETags(func(key, etag string) string { return `"` + key + strings.Repeat("x", 62<<10) + `"` })
	body, _ := get(t, server.URL+listing)
	if !strings.Contains(body, "<Size>2147483648</Size>") || !strings.Contains(body, "7/a/bxxx") {
		t.Errorf("no pretence in the listing: %.1000s", body)
	}
	r, err := http.Head(server.URL + "/7/a/b")
	if err != nil || r.ContentLength != 2<<30 || len(r.Header.Get("ETag")) < 62<<10 {
		t.Errorf("no pretence in the object: %v", err)
	}
	server.Pretend("7/a/b", 9)
	if body, _ := get(t, server.URL+"/7/a/b"); body != "content\x00\x00" {
		t.Errorf("body %q", body)
	}

	server.Always(s3listtest.Listings(s3listtest.Status(503, "SlowDown")), s3listtest.Objects("7/", s3listtest.Drip(4, time.Millisecond)))
	if _, r := get(t, server.URL+listing); r.StatusCode != 503 {
		t.Errorf("listing has status %d", r.StatusCode)
	}
	if body, r := get(t, server.URL+"/7/a/b"); r.StatusCode != 200 || body != "content\x00\x00" {
		t.Errorf("object has status %d, body %q", r.StatusCode, body)
	}

	other := s3listtest.New(t, behind)
	server.Always(s3listtest.Redirect(other.URL))
	if _, r := get(t, server.URL+"/7/a/b?x=1"); r.Request.URL.String() != other.URL+"/7/a/b?x=1" {
		t.Errorf("redirected to %s", r.Request.URL)
	}
	if keys := other.Junk(t, 10, 38); !strings.HasPrefix(keys[37], "137438953482/") || !strings.HasPrefix(keys[0], "11/") {
		t.Errorf("junk %q", keys)
	}
}
