package chain

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

const namespace = "test.key-transparency.v1"

// world is a log of names and an audit store.
type world struct {
	names   *s3listtest.Names
	handler http.Handler // in front of the names; nil: none
	audit   *blob.Bucket
	config  Config
}

func newWorld(t testing.TB, last uint64) *world {
	t.Helper()
	w := &world{names: &s3listtest.Names{First: 1, Last: last}, audit: memblob.OpenBucket(nil)}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.handler != nil {
			w.handler.ServeHTTP(rw, r)
			return
		}
		w.names.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	log, err := blobstore.OpenUnasked(t.Context(), "s3list+"+server.URL+"?rate=10000")
	must(t, err)
	t.Cleanup(func() { _ = log.Close() })
	w.config = Config{
		Namespace: namespace, Log: log, After: s3list.After, Parallel: 4, Store: auditstore.New(w.audit),
		MaxRequests: 200, Rechecks: 3, Logger: zerolog.Nop(),
	}
	return w
}

func (w *world) walker(t testing.TB) *Walker {
	t.Helper()
	k, err := New(w.config)
	must(t, err)
	return k
}

func (w *world) walk(t testing.TB) Result {
	t.Helper()
	r, err := w.walker(t).Walk(t.Context())
	must(t, err)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ranges(bounds ...uint64) (all []verdict.ChainRange) {
	for i := 0; i+1 < len(bounds); i += 2 {
		all = append(all, verdict.ChainRange{From: bounds[i], To: bounds[i+1]})
	}
	return all
}
