package audit

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// A content network that serves a batch from its memory, of another state than is listed, makes no
// log guilty: the epoch waits until that has passed. The same bytes are rejected when they are what
// is listed, and what verifies is verified whatever the network says.
func TestStaleBatchIsNotRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	key := w.KeyOf(t, 2)
	server := s3listtest.New(t, w.Log)
	log, err := blobstore.OpenBucket(t.Context(), server.BucketURL()+"?rate=10000")
	jobstest.Must(t, err)
	t.Cleanup(func() { _ = log.Close() })
	w.config.Fetcher = fetcher.New(log, fetcher.Options{Backoff: time.Millisecond, MaxAttempts: 2})
	a := w.auditor(t)

	remembered := func(etag string, spoil func(batch []byte)) s3listtest.Fault {
		return func(next http.Handler) http.Handler {
			edited := s3listtest.Edit(func(header http.Header, body []byte) []byte {
				if etag != "" {
					header.Set("ETag", etag)
				}
				spoil(body)
				return body
			})(next)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/"+key {
					edited.ServeHTTP(w, r)
				} else {
					next.ServeHTTP(w, r)
				}
			})
		}
	}
	change := func(batch []byte) { batch[len(batch)/2] ^= 1 }

	server.Always(remembered(`"yesterday"`, change))
	if v, err := a.Audit(t.Context(), 2); !errors.Is(err, fetcher.ErrChanged) || fetcher.Reason(err) != "" {
		t.Errorf("a stale body: %s %s, %v", v.Outcome, v.Reason, err)
	}
	if _, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, 2); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("a stale body left a verdict: %v", err)
	}
	server.Always(remembered(`"renamed"`, func([]byte) {}))
	if v, err := a.Audit(t.Context(), 2); err != nil || v.Outcome != verdict.Verified {
		t.Errorf("another ETag of the same bytes: %s %s, %v", v.Outcome, v.Reason, err)
	}
	key = w.KeyOf(t, 3)
	server.Always(remembered("", change))
	if v, err := a.Audit(t.Context(), 3); err != nil || v.Outcome != verdict.Rejected {
		t.Errorf("a body that is the one listed: %s %s, %v", v.Outcome, v.Reason, err)
	}
}
