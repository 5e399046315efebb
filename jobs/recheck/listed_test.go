package recheck

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
)

// overHTTP has the loop read the log as a public one, from a server that a test can stand before.
func (w *world) overHTTP(t *testing.T, before func(next http.Handler) http.Handler) {
	t.Helper()
	server := httptest.NewServer(before(s3listtest.Handler(w.Log)))
	t.Cleanup(server.Close)
	directory, err := blobstore.OpenBucket(t.Context(), "s3list+"+server.URL+"?rate=10000")
	jobstest.Must(t, err)
	t.Cleanup(func() { _ = directory.Close() })
	w.config.Log, w.config.Fetcher = directory, fetcher.New(directory, fetcher.Options{})
}

// An answer that a content network kept says nothing of what the log has.
func TestKeptAnswersWithdrawNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	kept := true
	empty := s3listtest.Handler(jobstest.OpenMemory(t))
	w.overHTTP(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("prefix") != "3/" {
				next.ServeHTTP(rw, r)
				return
			}
			if kept {
				rw.Header().Set("Age", "180")
				rw.Header().Set("X-Cache", "Hit from cloudfront")
			}
			empty.ServeHTTP(rw, r)
		})
	})
	w.config.Log = nil
	l := New(w.config)
	w.round(t, l, minute)
	for i := range time.Duration(6) {
		w.round(t, l, 62*minute+i*6*minute)
	}
	w.wantAlerts(t)
	kept = false
	for i := range time.Duration(6) {
		w.round(t, l, 110*minute+i*6*minute)
	}
	w.wantAlerts(t, "1-withdrawn.000000000003")
}
