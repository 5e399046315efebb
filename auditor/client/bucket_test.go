package client_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/signature"
)

// Signed digests come from an auditor as they come from a bucket: one that is not there, or not
// yet, is ErrNotFound, and everything that is none is a fault, which rejects nothing.
func TestBucket(t *testing.T) {
	t.Parallel()
	signed := func(namespace string, epoch uint64) string {
		s, err := signature.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)), signature.CiphersuiteProtobuf, namespace, 1, epoch, [32]byte{5})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	answers := map[uint64]string{5: signed("log.v1", 5), 6: signed("log.v1", 5), 7: signed("another.log", 7), 8: "<html></html>", 9: "{}"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for epoch, answer := range answers {
			if r.URL.Path == fmt.Sprintf("/namespaces/log.v1/audits/%d", epoch) {
				_, _ = fmt.Fprint(w, answer)
				return
			}
		}
		if strings.HasSuffix(r.URL.Path, "/audits/10") {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	b, err := client.OpenBucket("plexi+" + server.URL + "/log.v1?rate=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	source := signature.BucketSource{Bucket: b}
	data, _, err := source.Get(t.Context(), 5)
	if err != nil || string(data) != answers[5] {
		t.Errorf("%s, %v", data, err)
	}
	if _, _, err := source.Get(t.Context(), 4); !errors.Is(err, signature.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	for epoch := uint64(6); epoch <= 10; epoch++ {
		_, _, err := source.Get(t.Context(), epoch)
		for _, wrong := range []error{signature.ErrNotFound, signature.ErrMalformed, signature.ErrMismatch, signature.ErrInvalid} {
			if err == nil || errors.Is(err, wrong) {
				t.Errorf("epoch %d: %v, want a fault", epoch, err)
			}
		}
	}
	if err := b.WriteAll(t.Context(), "5.json", nil, nil); err == nil {
		t.Error("it was written")
	}
}

func TestBucketURLs(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"plexi+https://auditor.example/log.v1":                  true,
		"plexi+https://auditor.example:8443/log.v1?rate=0.5":    true,
		"plexi+http://127.0.0.1:80/log.v1":                      true,
		"plexi+http://localhost/log.v1":                         true,
		"plexi+http://auditor.example/log.v1":                   false,
		"plexi+https://auditor.example":                         false,
		"plexi+https://auditor.example/":                        false,
		"plexi+https://auditor.example/namespaces/log.v1":       false,
		"plexi+https://auditor.example/log.v1?rate=0":           false,
		"plexi+https://auditor.example/log.v1?rate=NaN":         false,
		"plexi+https://auditor.example/log.v1?rate=2&rate=3":    false,
		"plexi+https://auditor.example/log.v1?contact=somebody": false,
		"plexi+https://auditor.example/log.v1#here":             false,
		"plexi+https://me:secret@auditor.example/log.v1":        false,
		"plexi+ftp://auditor.example/log.v1":                    false,
		"plexi+://":                                             false,
	} {
		if err := client.CheckBucketURL(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if !client.IsBucketURL("plexi+https://a/b") || client.IsBucketURL("s3://a") {
		t.Error("IsBucketURL")
	}
}
