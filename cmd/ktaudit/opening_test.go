package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/rs/zerolog"
	"gocloud.dev/blob/memblob"
)

// All logs are opened at the same time, by a scheduler and by workers: none of these three answers
// before all have been asked, and still nobody has to wait for a timeout.
func TestHostileHangingLogsAreOpenedTogether(t *testing.T) {
	t.Parallel()
	behind := memblob.OpenBucket(nil)
	defer behind.Close()
	const logs = 3
	var warnings strings.Builder
	var mu sync.Mutex
	asked, all := map[string]bool{}, make(chan struct{})
	var namespaces []config.Namespace
	for _, name := range []string{"one", "two", "three"} {
		answer := s3listtest.Handler(behind)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			wait := all
			if asked[name] = true; len(asked) == logs {
				close(all)
				clear(asked)
				all = make(chan struct{})
			}
			mu.Unlock()
			select {
			case <-wait:
				answer.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(server.Close)
		n := config.DefaultNamespace()
		n.Namespace, n.LogDirectory, n.Settle = name, "s3list+"+server.URL, 0
		namespaces = append(namespaces, n)
	}
	a := &app{log: zerolog.New(&warnings).Level(zerolog.WarnLevel)}
	store := auditstore.New(behind)
	var open closers
	defer func() {
		if err := open.close(); err != nil {
			t.Error(err)
		}
	}()
	began := time.Now()
	if _, err := newScheduler(t.Context(), a, observed{namespaces: namespaces, queue: inprocess.New(), store: store}, observers{}, &open); err != nil {
		t.Error(err)
	}
	settings := config.Default()
	settings.AuditStore, settings.Namespaces = t.TempDir(), namespaces
	if auditors, err := (auditFlags{}).openAll(t.Context(), a, "worker", &settings, namespaces, &open); err != nil || len(auditors) != logs {
		t.Errorf("%d auditors, %v", len(auditors), err)
	}
	if warnings.Len() > 0 {
		t.Errorf("after %s: %s", time.Since(began), warnings.String())
	}
}

// TestHostileRefusalOfTheRandomParameter: an operator reads once that empty listings may be old.
func TestHostileRefusalOfTheRandomParameter(t *testing.T) {
	t.Parallel()
	behind := memblob.OpenBucket(nil)
	defer behind.Close()
	server := s3listtest.New(t, behind)
	server.Always(s3listtest.RefuseUnknown(http.StatusBadRequest))
	var log strings.Builder
	a := &app{log: zerolog.New(&log)}
	bucket, err := a.openOfLog(t.Context(), "one", server.BucketURL(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	for range 3 {
		if _, err := bucket.IsAccessible(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"namespace":"one"`) || !strings.Contains(got, "random query parameter") {
		t.Errorf("log: %s", got)
	}
}
