package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/signature"
)

const (
	fakeNamespace = "example.key-transparency.v1"
	vectorKey     = "b7f8c77a605705b8a0c3f228e75ff3f43b715a7321d0cc23bd177145d659686a"
	lastVector    = 30
)

// fakeAuditor answers as an auditor of the test vectors does that serves their proofs, too. A test
// may have it answer anything else.
type fakeAuditor struct {
	URL     string
	digests [lastVector + 1]string

	mu      sync.Mutex
	answers map[string]string // by path; "" is 404
	asked   map[string]int
}

func newFakeAuditor(t *testing.T) *fakeAuditor {
	t.Helper()
	f := &fakeAuditor{answers: map[string]string{}, asked: map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.URL = server.URL
	const vectors = "../../testdata/vectors/whatsapp-v1"
	for epoch := range f.digests {
		b, err := os.ReadFile(fmt.Sprintf("%s/signatures/%d.json", vectors, epoch))
		if err != nil {
			t.Fatal(err)
		}
		s, err := signature.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		f.set(f.auditPath(epoch), string(b)) // under the lock: who asked for another test's server may come here
		f.digests[epoch] = hex.EncodeToString(s.Digest[:])
	}
	proofs, err := filepath.Glob(vectors + "/log/*/*/*")
	if err != nil || len(proofs) != lastVector {
		t.Fatalf("%d proofs, error %v", len(proofs), err)
	}
	for _, path := range proofs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(vectors+"/log", path)
		f.set("/"+filepath.ToSlash(name), string(b))
	}
	f.set("/info", `{"keys":[{"public_key":"`+vectorKey+`","not_before":0}],"logs":[]}`)
	f.setNamespace(f.URL, "0/"+f.digests[0])
	f.set("/namespaces/"+fakeNamespace+"/last-verified-epoch", fmt.Sprintf(
		`{"job_id":"00000000-0000-4000-8000-000000000000","epoch":%d,"start_hash":"%s","end_hash":"%s","timestamp":1}`,
		lastVector, f.digests[lastVector-1], f.digests[lastVector]))
	return f
}

func (f *fakeAuditor) auditPath(epoch int) string {
	return fmt.Sprintf("/namespaces/%s/audits/%d", fakeNamespace, epoch)
}

// proofPath is where the proof of an epoch is.
func (f *fakeAuditor) proofPath(epoch int) string {
	return fmt.Sprintf("/%d/%s/%s", epoch, f.digests[epoch-1], f.digests[epoch])
}

func (f *fakeAuditor) setNamespace(directory, root string) {
	n := map[string]any{
		"name": fakeNamespace, "status": "Online", "reports_uri": "/r", "audits_uri": "/a",
		"signature_version": 1, "ciphersuite": 1, "log_directory": directory, "root": root,
	}
	for _, name := range []string{"log_directory", "root"} {
		if n[name] == "" {
			delete(n, name)
		}
	}
	b, _ := json.Marshal(n)
	f.set("/namespaces/"+fakeNamespace, string(b))
	f.set("/namespaces", `{"namespaces":[`+string(b)+`,{"name":"other","status":"Initialization","ciphersuite":2}]}`)
}

func (f *fakeAuditor) set(path, answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = answer
}

// sign has all epochs signed by a key of the test's, and returns that. Change may change what is
// signed.
func (f *fakeAuditor) sign(t *testing.T, seed byte, change func(*signature.SignedDigest)) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	for epoch := range f.digests {
		s := signature.SignedDigest{Namespace: fakeNamespace, Ciphersuite: 1, Epoch: uint64(epoch), Timestamp: 1_700_000_000_000 + uint64(epoch)}
		if _, err := hex.Decode(s.Digest[:], []byte(f.digests[epoch])); err != nil {
			t.Fatal(err)
		}
		change(&s)
		s, err := signature.Sign(key, s.Ciphersuite, s.Namespace, s.Timestamp, s.Epoch, s.Digest)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		f.set(f.auditPath(epoch), string(b))
	}
	public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
	f.set("/info", `{"keys":[{"public_key":"`+public+`","not_before":0}],"logs":[]}`)
	return public
}

func (f *fakeAuditor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	answer := f.answers[r.URL.Path]
	f.asked[r.URL.Path]++
	f.mu.Unlock()
	if answer == "" {
		http.NotFound(w, r)
		return
	}
	if strings.HasPrefix(answer, "{") {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write([]byte(answer))
}

// requests is how often a path was asked for.
func (f *fakeAuditor) requests(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}
