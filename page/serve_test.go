package page

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
)

// Nothing but what comes from the page's own host may run on it, and a page that did not change is
// not sent again, packed or not.
func TestHeaders(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 20)...)
	p := newPage(t, store)
	answer, plain := get(t, p, "/")
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cache-Control": "public, max-age=5", "Vary": "Accept-Encoding",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, header := range []string{answer.Header.Get("Content-Security-Policy"), plain} {
		for _, want := range []string{"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "base-uri 'none'"} {
			if !strings.Contains(header, want) || strings.Contains(header, "unsafe-inline") {
				t.Errorf("the policy lacks %s: %.1000s", want, header)
			}
		}
	}
	packed, body := get(t, p, "/", "Accept-Encoding", "gzip, br")
	r, err := gzip.NewReader(strings.NewReader(body))
	jobstest.Must(t, err)
	unpacked, err := io.ReadAll(r)
	if err != nil || string(unpacked) != plain || packed.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("packed: %v, %d bytes", err, len(unpacked))
	}
	for _, a := range []*http.Response{answer, packed} {
		again, body := get(t, p, "/", "If-None-Match", `"other", W/`+a.Header.Get("ETag"), "Accept-Encoding", a.Header.Get("Content-Encoding"))
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s: %s", a.Header.Get("ETag"), again.Status)
		}
	}
	for _, attribute := range []string{" style=", "<script>", " onclick=", "http://", "https://"} {
		if strings.Contains(plain, attribute) {
			t.Errorf("the page has %s", attribute)
		}
	}
	r2 := httptest.NewRequest(http.MethodPost, "/", nil)
	w := httptest.NewRecorder()
	if p.ServeHTTP(w, r2); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// The first view is small: the overview of three logs with what it loads.
func TestFirstView(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 60)...)
	log := summary.Log{Name: jobstest.Namespace, First: 1}
	p := newPage(t, store, log, log, log)
	_, body := get(t, p, "/")
	size := len(body)
	for _, name := range []string{"style.css", "page.js", "icon.svg"} {
		size += len(p.assets.documents[p.assets.paths[name]].Body)
	}
	if size > 150_000 {
		t.Errorf("%d bytes without compression", size)
	}
}

// A log that cannot be read is shown as such, whatever it was before, and costs no other anything.
func TestUnread(t *testing.T) {
	t.Parallel()
	memory := jobstest.NewArchiveStore(t)
	jobstest.Verify(t, memory.Store, jobstest.Span(1, 5)...)
	down := false
	_, store := memory.Watched(t, func(_ int64, request string) (error, bool) {
		if down && strings.Contains(request, jobstest.Namespace+"/") {
			return jobstest.ErrFault, false
		}
		return nil, false
	})
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p, err := New(Config{
		Store: store.Store, Logs: []summary.Log{{Name: jobstest.Namespace, First: 1}, {Name: "other.v1"}}, Log: zerolog.Nop(),
		Now: func() time.Time { return now },
	})
	jobstest.Must(t, err)
	if _, body := get(t, p, "/overview.json"); strings.Contains(body, "good") || !strings.Contains(body, `"state":"unread"`) {
		t.Errorf("before anything was read: %s", body)
	}
	read(t, p)
	if _, body := get(t, p, "/overview.json"); !strings.Contains(body, `"state":"good"`) {
		t.Errorf("%s", body)
	}
	down = true
	if err := p.Round(t.Context(), jobstest.Namespace); !errors.Is(err, jobstest.ErrFault) {
		t.Errorf("%v", err)
	}
	jobstest.Must(t, p.Round(t.Context(), "other.v1"))
	_, body := get(t, p, "/overview.json")
	if strings.Contains(body, `"state":"good"`) || !strings.Contains(body, `"state":"unread","state_text":"What is on record could not be read since 2026-11-27 12:00 UTC`) ||
		!strings.Contains(body, `"state":"empty"`) {
		t.Errorf("%s", body)
	}
	down = false
	read(t, p)
	// A reader that hangs is as good as one that fails.
	now = now.Add(unreadAfter + time.Second)
	jobstest.Must(t, p.update())
	if _, body := get(t, p, "/overview.json"); strings.Contains(body, `"state":"good"`) {
		t.Errorf("%s", body)
	}
}

// Whoever visits, and however often, the store sees a bounded number of requests.
func TestVisitorsCostNothing(t *testing.T) {
	t.Parallel()
	memory := jobstest.NewArchiveStore(t)
	jobstest.Verify(t, memory.Store, jobstest.Span(1, 300)...)
	watched, store := memory.Watched(t, jobstest.NoFault)
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p, err := New(Config{
		Store: store.Store, Logs: []summary.Log{{Name: jobstest.Namespace, First: 1}}, Log: zerolog.Nop(), Now: func() time.Time { return now },
	})
	jobstest.Must(t, err)
	read(t, p)
	before := watched.Requests.Load()
	const log = "/logs/" + jobstest.Namespace
	for range 50 {
		for _, path := range []string{
			"/", "/overview.json", log + "/", log + "/log.json", log + "/strip.json?from=5&to=50", log + "/range/1-100/", log + "/series.json",
			log + "/feed.atom", log + "/badge.svg", "/incidents/", "/incidents.atom", "/search/?q=17", log + "/epochs/999/", log + "/keys.json",
		} {
			get(t, p, path)
		}
	}
	if n := watched.Requests.Load() - before; n != 0 {
		t.Errorf("%d requests by visitors of what was made before", n)
	}
	// Epochs are read when they are asked for, within a budget for all visitors.
	busy := 0
	for epoch := uint64(1); epoch <= 300; epoch++ {
		if answer, _ := get(t, p, fmt.Sprintf("%s/epochs/%d/", log, epoch)); answer.StatusCode == http.StatusServiceUnavailable {
			busy++
			if answer.Header.Get("Retry-After") == "" || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v", answer.Header)
			}
		}
	}
	if n := watched.Requests.Load() - before; n > readsAtOnce || busy == 0 {
		t.Errorf("%d requests by visitors of epochs, %d were told to come again", n, busy)
	}
	now = now.Add(time.Minute)
	before = watched.Requests.Load()
	for epoch := uint64(1); epoch <= 300; epoch++ {
		get(t, p, fmt.Sprintf("%s/epochs/%d/", log, epoch))
	}
	if n := watched.Requests.Load() - before; n == 0 || n > MaxVisitorRequests {
		t.Errorf("%d requests in the next minute", n)
	}
}

// A new epoch and a new incident are told to those who follow, and again to those who come back.
func TestEvents(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, 1, 2, 3)
	p := newPage(t, store)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close) // after the streams, which it waits for
	follow := func(ctx context.Context, after string) (next func() (id, name, data string)) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", nil)
		jobstest.Must(t, err)
		if after != "" {
			r.Header.Set("Last-Event-ID", after)
		}
		answer, err := http.DefaultClient.Do(r)
		jobstest.Must(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v", answer.Header)
		}
		lines := bufio.NewScanner(answer.Body)
		return func() (id, name, data string) {
			for lines.Scan() {
				field, value, _ := strings.Cut(lines.Text(), ": ")
				switch field {
				case "id":
					id = value
				case "event":
					name = value
				case "data":
					data = value
				case "":
					if name != "" {
						return id, name, data
					}
				}
			}
			t.Errorf("the stream ended: %v", lines.Err())
			return "", "", ""
		}
	}
	next := follow(t.Context(), "")
	jobstest.Verify(t, store, 4)
	read(t, p)
	id, name, data := next()
	if name != "epoch" || !strings.Contains(data, `"epoch":4,"outcome":"verified"`) {
		t.Errorf("%s: %s", name, data)
	}
	if _, name, data = next(); name != "log" || !strings.Contains(data, `"head":4`) {
		t.Errorf("%s: %s", name, data)
	}
	jobstest.Must(t, store.Incidents(jobstest.Namespace).Put(t.Context(), "split_view.000000000004", []byte("{}")))
	read(t, p)
	if _, name, data = next(); name != "incident" || !strings.Contains(data, `"from":4,"to":4,"title":"Another digest was signed`) {
		t.Errorf("%s: %s", name, data)
	}
	again := follow(t.Context(), id)
	if _, name, _ = again(); name != "log" {
		t.Errorf("after %s comes %s", id, name)
	}
	if _, name, _ = again(); name != "incident" {
		t.Errorf("and then %s", name)
	}
}

// proven is a log of verdicts with a checkpoint that its own auditor signed.
func proven(t *testing.T, store *auditstore.Store, log *summary.Log) {
	t.Helper()
	origin := transparency.Origin("auditor.example", log.Name, transparency.Verdicts)
	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, ed25519.SeedSize)), origin)
	jobstest.Must(t, err)
	signer, err := note.NewSigner(secret)
	jobstest.Must(t, err)
	verifier, err := note.NewVerifier(public)
	jobstest.Must(t, err)
	l := transparency.Open(store, log.Name, transparency.Verdicts)
	_, err = l.Begin(t.Context(), 1)
	jobstest.Must(t, err)
	c, err := l.Advance(t.Context(), signer, transparency.Own(origin, verifier), 1000)
	jobstest.Must(t, err)
	jobstest.Must(t, l.Publish(t.Context(), c))
	log.Keys.Verdicts = public
}

// An epoch's proof checks, and the verdict log is there as plain files.
func TestProof(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 300)...)
	log := summary.Log{Name: jobstest.Namespace, First: 1}
	proven(t, store, &log)
	p := newPage(t, store, log)
	folder := "/logs/" + log.Name + "/epochs/7/"
	answer, file := get(t, p, folder+"proof.tlog-proof")
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	keys, err := tlogproof.Auditor(log.Keys.Verdicts, "")
	jobstest.Must(t, err)
	result, err := tlogproof.Check([]byte(file), keys)
	if err != nil || result.Epoch != 7 || result.Verdict == nil || result.Verdict.Outcome != verdict.Verified {
		t.Errorf("%+v, %v", result, err)
	}
	if _, page := get(t, p, folder); !strings.Contains(page, "ktaudit check proof.tlog-proof --auditor-key "+strings.ReplaceAll(log.Keys.Verdicts, "+", "&#43;")) ||
		!strings.Contains(page, `data-proof="proof.tlog-proof"`) || strings.Contains(page, "tier-witnessed") {
		t.Errorf("%s", page)
	}
	for path, cache := range map[string]string{
		"checkpoint": "public, max-age=5", "tile/0/000": "public, max-age=31536000, immutable", "tile/entries/000": "public, max-age=31536000, immutable",
		"tile/0/001.p/44": "public, max-age=31536000, immutable",
	} {
		answer, body := get(t, p, "/tlog/"+log.Name+"/verdicts/"+path)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != cache || body == "" {
			t.Errorf("%s: %s, %v", path, answer.Status, answer.Header)
		}
	}
	if answer, _ := get(t, p, "/tlog/"+log.Name+"/verdicts/tile/0/002"); answer.StatusCode != http.StatusNotFound || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a tile that is not there: %s, %v", answer.Status, answer.Header)
	}
}

// Pages are asked for while they are made anew.
func TestConcurrentVisitors(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 20)...)
	p := newPage(t, store)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 20 {
				get(t, p, fmt.Sprintf("/logs/%s/epochs/%d/", jobstest.Namespace, 1+(n+i)%20))
				get(t, p, "/")
			}
		})
	}
	for range 5 {
		read(t, p)
	}
	all.Wait()
}
