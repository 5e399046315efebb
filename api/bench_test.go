package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// onDisk is a world whose store is a folder.
func onDisk(b *testing.B) *world {
	b.Helper()
	store, err := auditstore.Open(b.Context(), "file://"+b.TempDir())
	must(b, err)
	return newWorldOn(b, nil, store, func(_ *world, c *api.Config, _ *api.Namespace) {
		c.Limits.PostsPerSecond = 1_000_000
		c.Signed, c.Observe = nil, nil
	})
}

func BenchmarkGetAudit(b *testing.B) {
	w := onDisk(b)
	w.sign(b, 1, 100)
	var n atomic.Uint64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			recorder := httptest.NewRecorder()
			w.handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, fmt.Sprintf("%s/%d", audits, n.Add(1)%100+1), nil))
			if recorder.Code != http.StatusOK {
				b.Error(recorder.Body)
			}
		}
	})
}

func BenchmarkLastVerified(b *testing.B) {
	w := onDisk(b)
	w.verify(b, 1, 100)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			recorder := httptest.NewRecorder()
			w.handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/namespaces/"+namespace+"/last-verified-epoch", nil))
			if recorder.Code != http.StatusOK {
				b.Error(recorder.Body)
			}
		}
	})
}

// One log posts its epochs one after the other, as it must.
func BenchmarkPost(b *testing.B) {
	w := onDisk(b)
	b.ReportAllocs()
	for epoch := uint64(1); b.Loop(); epoch++ {
		post(b, w, audits, epoch)
	}
}

// Several logs post at the same time.
func BenchmarkPostOfSeveralLogs(b *testing.B) {
	const parallelism = 8
	logs := parallelism * runtime.GOMAXPROCS(0)
	store, err := auditstore.Open(b.Context(), "file://"+b.TempDir())
	must(b, err)
	w := newWorldOn(b, nil, store, func(_ *world, c *api.Config, n *api.Namespace) {
		c.Limits.PostsPerSecond = 1_000_000
		c.Signed, c.Observe = nil, nil
		var all []api.Namespace
		for i := range logs {
			one := *n
			one.Name = fmt.Sprintf("log%d", i)
			one.Auditor, err = auditor.New(auditor.Config{Namespace: one.Name, Store: store, Keys: c.Keys, Ciphersuite: 1, Conflict: noConflict})
			must(b, err)
			all = append(all, one)
		}
		c.Namespaces = func() []api.Namespace { return all }
	})
	var next atomic.Int64
	b.SetParallelism(parallelism)
	b.RunParallel(func(p *testing.PB) {
		path := fmt.Sprintf("/namespaces/log%d/audits", next.Add(1)%int64(logs))
		for epoch := uint64(1); p.Next(); epoch++ {
			post(b, w, path, epoch)
		}
	})
}

func post(b *testing.B, w *world, path string, epoch uint64) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(postOf(epoch, hexOf(epoch))))
	r.Header.Set("Authorization", "Bearer "+token)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	if recorder.Code != http.StatusOK {
		b.Error(recorder.Body)
	}
}
