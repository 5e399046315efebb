package static_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/page"
	"github.com/ktaudit/ktaudit/page/static"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

var noon = time.Date(2026, 11, 27, 12, 0, 30, 0, time.UTC)

func newPage(t *testing.T, store *auditstore.Store) *page.Page {
	t.Helper()
	p, err := page.New(page.Config{
		Store: store, Logs: []summary.Log{{Name: jobstest.Namespace, First: 1, Preset: "example"}}, Log: zerolog.Nop(),
		Now: func() time.Time { return noon },
	})
	jobstest.Must(t, err)
	return p
}

// What is published is what is served, each page at its place.
func TestPublishedAsServed(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, jobstest.Span(1, 19)...)
	jobstest.PutVerdict(t, store, 20, verdict.DigestMismatch)
	site := jobstest.OpenMemory(t)
	publisher := static.Publisher{Page: newPage(t, store), Bucket: site, Epochs: 20}
	first, err := publisher.Publish(t.Context())
	jobstest.Must(t, err)
	served := newPage(t, store)
	jobstest.Must(t, served.ReadAll(t.Context()))
	keys := jobstest.Keys(t, site)
	if first.Files != len(keys) || first.Written != len(keys) || len(keys) < 20*3+10 {
		t.Errorf("%+v: %d files", first, len(keys))
	}
	for _, key := range keys {
		r := httptest.NewRequest(http.MethodGet, "/"+strings.TrimSuffix(key, "index.html"), nil)
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		data, err := site.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		if w.Code != http.StatusOK || w.Body.String() != string(data) {
			t.Errorf("%s: served %d:\n%.2000s\npublished:\n%.2000s", key, w.Code, w.Body, data)
		}
		attributes, err := site.Attributes(t.Context(), key)
		jobstest.Must(t, err)
		if attributes.ContentType != w.Header().Get("Content-Type") || attributes.CacheControl == "" {
			t.Errorf("%s: %s, %s", key, attributes.ContentType, attributes.CacheControl)
		}
	}
}

// No page leads to one that is not there.
func TestLinks(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, jobstest.Span(1, 450)...)
	site := jobstest.OpenMemory(t)
	publisher := static.Publisher{Page: newPage(t, store), Bucket: site, Epochs: 3}
	_, err := publisher.Publish(t.Context())
	jobstest.Must(t, err)
	links := 0
	for _, key := range jobstest.Keys(t, site) {
		if !strings.HasSuffix(key, "index.html") {
			continue
		}
		data, err := site.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		base := "http://page.example/some/where/" + strings.TrimSuffix(key, "index.html")
		for _, part := range strings.Split(string(data), "href=\"")[1:] {
			link, _, _ := strings.Cut(part, `"`)
			link, _, _ = strings.Cut(link, "#")
			r, err := http.NewRequest(http.MethodGet, base, nil)
			jobstest.Must(t, err)
			u, err := r.URL.Parse(link)
			jobstest.Must(t, err)
			at, ok := strings.CutPrefix(u.String(), "http://page.example/some/where/")
			if strings.HasSuffix(at, "/") || at == "" {
				at += "index.html"
			}
			exists, err := site.Exists(t.Context(), at)
			if err != nil || !ok || !exists {
				t.Errorf("%s leads to %q: %v", key, link, err)
			}
			links++
		}
	}
	if exists, err := site.Exists(t.Context(), "logs/"+jobstest.Namespace+"/epochs/447/index.html"); exists || err != nil || links < 100 {
		t.Errorf("an epoch that is not among the newest has a page: %t, %v; %d links", exists, err, links)
	}
}

// Only what changed is written, by this process and by the next, and nothing is removed.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, jobstest.Span(1, 10)...)
	site := jobstest.OpenMemory(t)
	jobstest.Must(t, site.WriteAll(t.Context(), "logs/old.v1/index.html", []byte("an old log"), nil))
	publisher := static.Publisher{Page: newPage(t, store), Bucket: site, Epochs: 10}
	first, err := publisher.Publish(t.Context())
	jobstest.Must(t, err)
	again, err := publisher.Publish(t.Context())
	jobstest.Must(t, err)
	next := static.Publisher{Page: newPage(t, store), Bucket: site, Epochs: 10}
	other, err := next.Publish(t.Context())
	jobstest.Must(t, err)
	if again.Written != 0 || other.Written != 0 || other.Unchanged != first.Files || other.Files != first.Files {
		t.Errorf("first %+v, again %+v, by another %+v", first, again, other)
	}
	jobstest.Verify(t, store, 11)
	grown, err := publisher.Publish(t.Context())
	jobstest.Must(t, err)
	// The epoch's own documents, its neighbour's, those of the log, and the overview.
	if grown.Written == 0 || grown.Written > 20 {
		t.Errorf("one more epoch: %+v", grown)
	}
	old, err := site.ReadAll(t.Context(), "logs/old.v1/index.html")
	if string(old) != "an old log" {
		t.Errorf("the page of an old log: %q, %v", old, err)
	}
}

// A bucket that fails fails the command, and the next round writes the rest. The overview is
// written last, so that it leads to nothing that is not there.
func TestFaultyBucket(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	jobstest.Verify(t, store, jobstest.Span(1, 10)...)
	site := &jobstest.ArchiveStore{Bucket: jobstest.OpenMemory(t)}
	failing := true
	watched, _ := site.Watched(t, func(_ int64, request string) (error, bool) {
		if failing && strings.HasPrefix(request, "write logs/") && strings.HasSuffix(request, "log.json") {
			return jobstest.ErrFault, false
		}
		return nil, false
	})
	publisher := static.Publisher{Page: newPage(t, store), Bucket: blob.NewBucket(watched), Epochs: 10}
	if _, err := publisher.Publish(t.Context()); !errors.Is(err, jobstest.ErrFault) {
		t.Errorf("%v", err)
	}
	if exists, err := site.Bucket.Exists(t.Context(), "index.html"); exists || err != nil {
		t.Errorf("the overview is there: %v", err)
	}
	failing = false
	_, err := publisher.Publish(t.Context())
	jobstest.Must(t, err)
	r, err := site.Bucket.NewReader(t.Context(), "index.html", nil)
	jobstest.Must(t, err)
	defer r.Close()
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
}
