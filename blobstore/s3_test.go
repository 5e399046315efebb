package blobstore

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"gocloud.dev/blob"
)

// How often a request is made, and in which mode, is said as to AWS's own programs.
func TestAttemptsAsAWSHasThem(t *testing.T) { // sets the environment
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "config")
	profile := "[profile patient]\naws_access_key_id = a\naws_secret_access_key = b\nmax_attempts = 2\nretry_mode = adaptive\n"
	if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CONFIG_FILE": file, "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	url := "s3://bucket?use_path_style=true&endpoint=" + server.URL
	for name, test := range map[string]struct {
		url, attempts, mode string
		want                int64
	}{
		"by default":       {url, "", "", 3},
		"one":              {url, "1", "", 1},
		"two":              {url, "2", "standard", 2},
		"adaptive":         {url, "2", "adaptive", 2},
		"profile":          {url + "&profile=patient", "", "", 2},
		"variable first":   {url + "&profile=patient", "1", "", 1},
		"with rate limits": {url + "&rate_limiter_capacity=1000", "2", "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_MAX_ATTEMPTS", test.attempts)
			t.Setenv("AWS_RETRY_MODE", test.mode)
			asked.Store(0)
			bucket, err := OpenUnasked(t.Context(), test.url)
			if err != nil {
				t.Fatal(err)
			}
			defer bucket.Close()
			if _, _, err := bucket.ListPage(t.Context(), blob.FirstPageToken, 1, nil); err == nil {
				t.Error("a server that is down answers")
			}
			if got := asked.Load(); got != test.want {
				t.Errorf("it was asked %d times, want %d", got, test.want)
			}
		})
	}
	t.Setenv("AWS_RETRY_MODE", "often")
	if _, err := OpenBucket(t.Context(), url); err == nil {
		t.Errorf("a mode that there is not: %v", err)
	}
}

// A server with a certificate of one's own is trusted as AWS's own programs are told to.
func TestCABundle(t *testing.T) { // sets the environment
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_PROFILE": "", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	for bundle, answers := range map[string]bool{file: true, "": false} {
		t.Setenv("AWS_CA_BUNDLE", bundle)
		_, err := OpenBucket(t.Context(), "s3://bucket?use_path_style=true&endpoint="+server.URL)
		if got := Status(err) == http.StatusForbidden; got != answers {
			t.Errorf("with the CA bundle %q the server answers: %v, %v", bundle, got, err)
		}
	}
}

// A server that ignores ranges sends what was not asked for, which is not taken for a part of it.
func TestIgnoredRanges(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Last-Modified", "Sun, 01 Mar 2026 12:00:00 GMT")
		_, _ = io.WriteString(w, "0123456789")
	}))
	defer server.Close()
	bucket, err := OpenUnasked(t.Context(), "s3://bucket?anonymous=true&region=x&use_path_style=true&endpoint="+server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	for _, length := range []int64{-1, 4} { // whoever asks from the beginning on is told by a body that goes on
		r, err := bucket.NewRangeReader(t.Context(), "k", 0, length, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "0123456789" {
			t.Errorf("%q, %v", got, err)
		}
		_ = r.Close()
		if r, err := bucket.NewRangeReader(t.Context(), "k", 3, length, nil); err == nil || !strings.Contains(err.Error(), "ignores ranges") {
			t.Errorf("from 3 on, %d: %v, %v", length, r, err)
		}
	}
}
