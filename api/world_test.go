package api_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

const (
	namespace = "log.v1"
	token     = "a token"
)

// world is an API over a store in memory, with a log that is signed.
type world struct {
	bucket  *blob.Bucket
	store   *auditstore.Store
	handler http.Handler
	config  api.Config

	mu        sync.Mutex
	conflicts []auditor.Conflict
	signed    []uint64
	reports   []api.Report
	requests  []api.Request
	log       bytes.Buffer
}

func digestOf(n uint64) [32]byte { return [32]byte{byte(n), byte(n >> 8), 0xff} }

func hexOf(n uint64) string { d := digestOf(n); return hex.EncodeToString(d[:]) }

func keyOf(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

// newWorld lets change alter the configuration, which has one namespace.
func newWorld(t testing.TB, change func(w *world, c *api.Config, n *api.Namespace)) *world {
	t.Helper()
	b := memblob.OpenBucket(nil)
	return newWorldOn(t, b, auditstore.New(b), change)
}

func newWorldOn(t testing.TB, b *blob.Bucket, store *auditstore.Store, change func(w *world, c *api.Config, n *api.Namespace)) *world {
	t.Helper()
	w := &world{bucket: b, store: store}
	t.Cleanup(func() { store.Close() })
	key := auditor.Key{Signer: keyOf(1)}
	signer, err := auditor.New(auditor.Config{
		Namespace: namespace, Store: w.store, Keys: []auditor.Key{key}, Ciphersuite: signature.CiphersuiteProtobuf,
		Conflict: func(ctx context.Context, c auditor.Conflict) error {
			if ctx.Err() != nil {
				return ctx.Err() // as a store would
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.conflicts = append(w.conflicts, c)
			return nil
		},
	})
	must(t, err)
	n := api.Namespace{
		Name: namespace, Ciphersuite: signature.CiphersuiteProtobuf, Auditor: signer, LogDirectory: "https://log.example",
		Posters: api.Posters{Token: func() string { return token }}, Configuration: "whatsapp_v1",
	}
	c := api.Config{
		Store: w.store, Keys: []auditor.Key{key}, URL: "https://auditor.example", Software: "test", Log: zerolog.New(&w.log),
		Signed: func(_ string, epoch uint64) { w.signed = append(w.signed, epoch) },
		Report: func(_ context.Context, _ string, r api.Report) error { w.reports = append(w.reports, r); return nil },
		Observe: func(r api.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.requests = append(w.requests, r)
		},
	}
	c.Namespaces = func() []api.Namespace { return []api.Namespace{n} }
	if change != nil {
		change(w, &c, &n)
	}
	w.config = c
	w.handler, err = api.New(c)
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do sends a request; header are names and values.
func (w *world) do(t testing.TB, method, path, body string, header ...string) *http.Response {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, reader)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder.Result()
}

func (w *world) post(t testing.TB, path, body string) *http.Response {
	t.Helper()
	return w.do(t, http.MethodPost, path, body, "Authorization", "Bearer "+token)
}

func (w *world) sign(t testing.TB, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		read(t, w.post(t, audits, postOf(epoch, hexOf(epoch))), http.StatusOK)
	}
}

const audits = "/namespaces/" + namespace + "/audits"

func postOf(epoch uint64, digest string) string {
	return fmt.Sprintf(`{"epoch": %d, "digest": %q}`, epoch, digest)
}

// verify puts verdicts on record that epochs were verified.
func (w *world) verify(t testing.TB, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		w.judge(t, verdict.Verdict{Epoch: epoch, Outcome: verdict.Verified, PreviousDigest: hexOf(epoch - 1), Digest: hexOf(epoch)})
	}
}

func (w *world) judge(t testing.TB, v verdict.Verdict) {
	t.Helper()
	v.Schema, v.Namespace, v.Batch.SHA256 = verdict.Schema, namespace, strings.Repeat("0", 64)
	_, _, err := w.store.PutVerdict(t.Context(), v)
	must(t, err)
}

// read returns a body, whose status must be the given one.
func read(t testing.TB, r *http.Response, status int) []byte {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	must(t, err)
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", r.StatusCode, status, data)
	}
	return data
}

// get reads an answer in JSON.
func get[T any](t testing.TB, w *world, path string) (v T) {
	t.Helper()
	data := read(t, w.do(t, http.MethodGet, path, ""), http.StatusOK)
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %s: %v", path, data, err)
	}
	return v
}

type problem struct {
	Type          string          `json:"type"`
	Title         string          `json:"title"`
	Status        int             `json:"status"`
	Detail        string          `json:"detail"`
	ExpectedEpoch *uint64         `json:"expected_epoch"`
	SignedEpoch   *uint64         `json:"signed_epoch"`
	Root          string          `json:"root"`
	Signed        json.RawMessage `json:"signed"`
}

// wantProblem checks that an answer is a problem of a kind.
func wantProblem(t testing.TB, r *http.Response, status int, kind string) (p problem) {
	t.Helper()
	data := read(t, r, status)
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if p.Type != "/problems/"+kind || p.Status != status || p.Title == "" || r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s, %s, want the problem %s", r.Header.Get("Content-Type"), data, kind)
	}
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("a problem may be kept: %q", got)
	}
	return p
}

func noConflict(context.Context, auditor.Conflict) error { return nil }
