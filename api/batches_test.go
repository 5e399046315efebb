package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/verdict"
)

// archive puts an epoch's batch and its verdict on record.
func archive(t testing.TB, w *world, epoch uint64, extension string, stored []byte, hash string) {
	t.Helper()
	a, err := w.store.ArchiveWriter(t.Context(), namespace, epoch, extension)
	must(t, err)
	_, err = a.Write(stored)
	must(t, errors.Join(err, a.Commit()))
	_, _, err = w.store.PutVerdict(t.Context(), verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: hexOf(epoch - 1), Digest: hexOf(epoch), Batch: verdict.Batch{SHA256: hash},
	})
	must(t, err)
}

func sumOf(data []byte) string { sum := sha256.Sum256(data); return hex.EncodeToString(sum[:]) }

func nameOf(epoch uint64) string {
	return fmt.Sprintf("/%d/%s/%s", epoch, hexOf(epoch-1), hexOf(epoch))
}

func withArchive(w *world, _ *api.Config, n *api.Namespace) {
	n.LogDirectory = ""
	n.Proofs = api.Archived(w.store, namespace, fetcher.Options{})
}

// What was judged is served as a log directory serves it, unpacked.
func TestProofs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withArchive)
	batch := bytes.Repeat([]byte("a batch "), 100_000)
	z, err := zstd.NewWriter(nil)
	must(t, err)
	packed := z.EncodeAll(batch, nil)
	archive(t, w, 5, "", batch, sumOf(batch))
	archive(t, w, 6, ".zst", packed, sumOf(packed))
	archive(t, w, 7, "", nil, sumOf(nil))
	for epoch, want := range map[uint64][]byte{5: batch, 6: batch, 7: nil} {
		r := w.do(t, http.MethodGet, nameOf(epoch), "", "Accept-Encoding", "gzip")
		if got := read(t, r, http.StatusOK); !bytes.Equal(got, want) || r.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("epoch %d: %d bytes, %v", epoch, len(got), r.Header)
		}
		r = w.do(t, http.MethodHead, nameOf(epoch), "")
		if got := read(t, r, http.StatusOK); len(got) > 0 {
			t.Errorf("HEAD: %d bytes", len(got))
		}
	}
	if got := get[client.Namespace](t, w, "/namespaces/"+namespace); got.LogDirectory != "https://auditor.example" {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{
		"/8/" + hexOf(7) + "/" + hexOf(8), "/5/" + hexOf(5) + "/" + hexOf(5), "/5/" + hexOf(4) + "/" + strings.ToUpper(hexOf(5)),
		"/05/" + hexOf(4) + "/" + hexOf(5), "/5/" + hexOf(4) + "/", "/5/" + hexOf(4) + "/x", "/x/y/z", nameOf(5) + "/", nameOf(5) + "/x",
	} {
		wantProblem(t, w.do(t, http.MethodGet, path, ""), http.StatusNotFound, "not-found")
	}
}

// A batch that is not the one that was judged never arrives whole.
func TestProofThatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withArchive)
	archive(t, w, 5, "", bytes.Repeat([]byte("b"), 1<<20), sumOf(nil))
	server := httptest.NewServer(w.handler)
	defer server.Close()
	r, err := http.Get(server.URL + nameOf(5))
	must(t, err)
	defer r.Body.Close()
	if n, err := io.Copy(io.Discard, r.Body); err == nil {
		t.Errorf("%d bytes arrived as if they were the batch", n)
	}
}

// Proofs of several logs are told apart by host name, or else by their names, which are unique. What
// is wrong with one log costs no other.
func TestProofsOfSeveralLogs(t *testing.T) {
	t.Parallel()
	of := func(name, digest string) api.Namespace {
		return api.Namespace{Name: name, Ciphersuite: 1, Proofs: func(_ context.Context, _ uint64, _, d string) (io.ReadCloser, error) {
			if d != digest {
				return nil, auditstore.ErrNotFound
			}
			return io.NopCloser(strings.NewReader(name)), nil
		}}
	}
	one, two, hosted := of("one", hexOf(1)), of("two", hexOf(2)), of("hosted", hexOf(1))
	broken := api.Namespace{Name: "broken", Proofs: func(_ context.Context, _ uint64, _, d string) (io.ReadCloser, error) {
		if d == hexOf(3) {
			return nil, auditstore.ErrNotFound
		}
		return nil, auditstore.ErrCorrupt
	}}
	hosted.Host = "hosted.example"
	w := newWorld(t, func(_ *world, c *api.Config, _ *api.Namespace) {
		c.URL = "https://auditor.example:8443"
		c.Namespaces = func() []api.Namespace { return []api.Namespace{broken, one, two, hosted} }
	})
	for _, c := range []struct {
		host, digest, want string
	}{
		{"auditor.example", hexOf(1), "one"},
		{"auditor.example:8443", hexOf(2), "two"},
		{"hosted.example:8443", hexOf(1), "hosted"},
		{"HOSTED.example", hexOf(1), "hosted"},
		{"hosted.example", hexOf(2), ""},
		{"auditor.example", hexOf(3), ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/5/"+hexOf(0)+"/"+c.digest, nil)
		r.Host = c.host
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		if c.want == "" {
			wantProblem(t, recorder.Result(), http.StatusNotFound, "not-found")
		} else if got := recorder.Body.String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/5/"+hexOf(0)+"/"+hexOf(4), nil)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	wantProblem(t, recorder.Result(), http.StatusServiceUnavailable, "fault") // it may be the broken log's
	var directories []string
	for _, n := range get[client.Namespaces](t, w, "/namespaces").Namespaces {
		directories = append(directories, n.LogDirectory)
	}
	want := "[https://auditor.example:8443 https://auditor.example:8443 https://auditor.example:8443 https://hosted.example:8443]"
	if got := fmt.Sprint(directories); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is on record against an epoch can be had as one file that convicts by itself.
func TestEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.verify(t, 1, 2)
	w.judge(t, verdict.Verdict{Epoch: 3, Outcome: verdict.Rejected, Reason: "digest_mismatch", Detail: "so"})
	path := "/namespaces/" + namespace + "/evidence/"
	r := w.do(t, http.MethodGet, path+"3", "")
	got := read(t, r, http.StatusOK)
	want := &bytes.Buffer{}
	_, err := bundle.Write(t.Context(), want, w.store, bundle.About{Namespace: namespace, Epoch: 3, Configuration: "whatsapp_v1", Software: "test"})
	must(t, err)
	if !bytes.Equal(got, want.Bytes()) || r.Header.Get("Content-Disposition") != `attachment; filename="log.v1-3.tar.zst"` {
		t.Errorf("%d bytes, want %d; %v", len(got), want.Len(), r.Header)
	}
	if got := read(t, w.do(t, http.MethodHead, path+"3", ""), http.StatusOK); len(got) > 0 {
		t.Errorf("HEAD: %d bytes", len(got))
	}
	wantProblem(t, w.do(t, http.MethodGet, path+"2", ""), http.StatusNotFound, "not-found")
	wantProblem(t, w.do(t, http.MethodHead, path+"2", ""), http.StatusNotFound, "not-found")
}

// Who asks for more at once than a class of requests has is told to come again; the others are
// answered.
func TestBusy(t *testing.T) {
	t.Parallel()
	opened, goOn := make(chan bool), make(chan bool)
	w := newWorld(t, func(w *world, c *api.Config, n *api.Namespace) {
		c.Limits.Proofs = 1
		n.Proofs = func(context.Context, uint64, string, string) (io.ReadCloser, error) {
			opened <- true
			<-goOn
			return io.NopCloser(strings.NewReader("a batch")), nil
		}
	})
	w.sign(t, 5, 5)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		read(t, w.do(t, http.MethodGet, nameOf(5), ""), http.StatusOK)
	}()
	<-opened
	r := w.do(t, http.MethodGet, nameOf(5), "")
	if wantProblem(t, r, http.StatusServiceUnavailable, "busy"); r.Header.Get("Retry-After") != "1" {
		t.Errorf("%v", r.Header)
	}
	read(t, w.do(t, http.MethodGet, audits+"/5", ""), http.StatusOK)
	close(goOn)
	<-ended
}

// deadlines is a connection that notes its deadlines for writing.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// A batch has as long as it needs at a rate, and then the connection is as it was before.
func TestStreamDeadlines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, _ *api.Config, n *api.Namespace) {
		n.Proofs = func(context.Context, uint64, string, string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(make([]byte, 64<<20))), nil
		}
	})
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	began := time.Now()
	w.handler.ServeHTTP(d, httptest.NewRequest(http.MethodGet, nameOf(5), nil))
	if d.Body.Len() != 64<<20 || len(d.set) < 3 || !d.set[len(d.set)-1].IsZero() {
		t.Fatalf("%d bytes, deadlines %v", d.Body.Len(), d.set)
	}
	first, last := d.set[0].Sub(began), d.set[len(d.set)-2].Sub(began)
	if first > time.Minute || last < 4*time.Minute || last > 10*time.Minute {
		t.Errorf("deadlines after %s and, for 64 MiB, %s", first, last)
	}
}

// brokenWriter is a client that has gone.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A client that goes away is no fault of ours.
func TestClientThatGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withArchive)
	archive(t, w, 5, "", []byte("a batch"), sumOf([]byte("a batch")))
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("%v", p)
			}
		}()
		w.handler.ServeHTTP(brokenWriter{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, nameOf(5), nil))
	}()
	if w.log.Len() > 0 {
		t.Errorf("logged: %s", w.log.String())
	}
}
