package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/page/documents"
	"github.com/ktaudit/ktaudit/page/summary"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
)

// policy is what pages may do: nothing but what comes from here.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// requestTimeout bounds what is made for a visitor.
const requestTimeout = 10 * time.Second

// Owns reports whether a path is the page's, beside an API.
func Owns(path string) bool {
	switch path {
	case "/", "/logs", "/search", "/search/", "/incidents", "/incidents/", "/events", "/overview.json", "/incidents.json", "/incidents.atom", "/robots.txt":
		return true
	}
	return strings.HasPrefix(path, "/logs/") || strings.HasPrefix(path, "/assets/") || strings.HasPrefix(path, "/tlog/")
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	kind, status := p.serve(w, r)
	p.c.Observe(kind, status, time.Since(began))
}

func (p *Page) serve(w http.ResponseWriter, r *http.Request) (kind string, status int) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "this is a page to read", http.StatusMethodNotAllowed)
		return "none", http.StatusMethodNotAllowed
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if path == "events" && r.Method == http.MethodGet {
		return "events", p.hub.Serve(w, r)
	}
	if to, ok := p.redirect(path, r.URL.Query()); ok {
		h.Set("Cache-Control", documents.NotAtAll)
		http.Redirect(w, r, to, http.StatusSeeOther)
		return "redirect", http.StatusSeeOther
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	d, err := recovered(func() (*documents.Document, error) { return p.document(ctx, path, r.URL.Query(), false) })
	switch {
	case err == nil:
		return d.Kind, d.Send(w, r)
	case errors.Is(err, ErrNoDocument), errors.Is(err, auditstore.ErrNotFound):
		return "none", p.refuse(w, r, http.StatusNotFound, "There is nothing at this path, or not yet.")
	case errors.Is(err, errBusy):
		h.Set("Retry-After", "5")
		return "none", p.refuse(w, r, http.StatusServiceUnavailable, "Many pages are being asked for at the moment. Come again in a few seconds.")
	case r.Context().Err() == nil:
		p.fault("making a page for a visitor", err)
	}
	h.Set("Retry-After", "10")
	return "none", p.refuse(w, r, http.StatusServiceUnavailable, "What is on record cannot be read at the moment. This says nothing about the log.")
}

// redirect leads to a page's own path.
func (p *Page) redirect(path string, query url.Values) (to string, ok bool) {
	parts := strings.Split(path, "/")
	isFolder := path == "incidents" || path == "search" || len(parts) == 2 && parts[0] == "logs" && parts[1] != "" ||
		len(parts) == 4 && parts[0] == "logs" && (parts[2] == "epochs" || parts[2] == "range")
	switch {
	case isFolder:
		// "https:example.org/" alone would lead there.
		here := url.URL{Path: "./" + parts[len(parts)-1] + "/", RawQuery: query.Encode()}
		return here.String(), true
	case path == "logs" || path == "logs/":
		return rootOf(path), true
	case len(parts) == 3 && parts[0] == "logs" && parts[2] == "" && query.Get("from") != "" && query.Get("to") != "":
		from, to := query.Get("from"), query.Get("to")
		if isNumber(from) && isNumber(to) {
			return "range/" + from + "-" + to + "/", true
		}
	}
	return "", false
}

func isNumber(text string) bool { return parseEpoch(text) > 0 }

// parseEpoch reads an epoch in plain decimal digits; 0 if it is none.
func parseEpoch(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > verdict.MaxEpoch || strconv.FormatUint(n, 10) != text {
		return 0
	}
	return n
}

type refusalView struct {
	frame
	Text string
}

// refuse answers with a page that says why there is none. An absence is never cached.
func (p *Page) refuse(w http.ResponseWriter, r *http.Request, status int, text string) int {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", documents.TypeText)
	body := []byte(text + "\n")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		f := p.frame(strings.TrimPrefix(r.URL.Path, "/"), http.StatusText(status), "", time.Time{})
		if d, err := render("refusal.html", "none", refusalView{f, text}); err == nil {
			h.Set("Content-Type", documents.TypeHTML)
			body = d.Body
		}
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return status
}

// document returns what stands at a path; ErrNoDocument if nothing does. Unless it is free, what it
// takes counts as a visitor's.
func (p *Page) document(ctx context.Context, path string, query url.Values, free bool) (*documents.Document, error) {
	s := p.current.Load()
	if d, ok := p.assets.documents[path]; ok {
		return d, nil
	}
	if p.now().Sub(s.made) > unreadAfter {
		return nil, errOld
	}
	plain := len(query) == 0 || path != "search/" && !strings.HasSuffix(path, "/strip.json")
	if d, ok := s.documents[path]; ok && plain {
		return d, nil
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		return nil, errBusy
	}
	parts := strings.Split(path, "/")
	switch {
	case path == "search/":
		return p.searched(ctx, query.Get("q"))
	case len(parts) >= 4 && parts[0] == "tlog":
		return p.file(ctx, parts[1], transparency.Kind(parts[2]), strings.Join(parts[3:], "/"))
	case len(parts) < 3 || parts[0] != "logs":
		return nil, ErrNoDocument
	}
	l := p.find(parts[1])
	switch rest := parts[2:]; {
	case l == nil:
		return nil, ErrNoDocument
	case len(rest) == 1 && rest[0] == "strip.json":
		return p.stripWindow(l, query)
	case len(rest) == 3 && rest[0] == "range" && rest[2] == "":
		return p.rangePage(l, path, rest[1])
	case len(rest) == 3 && rest[0] == "epochs":
		if epoch := parseEpoch(rest[1]); epoch > 0 {
			return p.epochDocument(ctx, l, path, epoch, rest[2], free)
		}
	}
	return nil, ErrNoDocument
}

// stripWindow is a part of the strip: from, to and the number of buckets.
func (p *Page) stripWindow(l *logState, query url.Values) (*documents.Document, error) {
	s, _ := l.status(p.now())
	if s == nil {
		return nil, ErrNoDocument
	}
	from, to := s.Bounds()
	n := uint64(summary.Columns)
	for _, v := range []struct {
		name string
		into *uint64
	}{{"from", &from}, {"to", &to}, {"buckets", &n}} {
		if text := query.Get(v.name); text != "" {
			if *v.into = parseEpoch(text); *v.into == 0 {
				return nil, ErrNoDocument
			}
		}
	}
	if to < from {
		return nil, ErrNoDocument
	}
	return documents.JSON("strip", documents.ForSeconds, stripOf(s, from, to, min(n, 1000)))
}

// rangePage is a log's page for a range, as "1-1000".
func (p *Page) rangePage(l *logState, path, text string) (*documents.Document, error) {
	first, second, _ := strings.Cut(text, "-")
	from, to := parseEpoch(first), parseEpoch(second)
	s, _ := l.status(p.now())
	if from == 0 || to < from || s == nil {
		return nil, ErrNoDocument
	}
	low, high := s.Bounds()
	if to < low || from > high {
		return nil, ErrNoDocument
	}
	key := fmt.Sprintf("%s %d", path, s.ReadAt.UnixNano())
	if d, ok := p.rendered.Get(key, p.now()); ok {
		return d, nil
	}
	f := p.frame(path, l.log.Name+", epochs "+number(from)+" to "+number(to), "", time.Time{})
	f.Feed = f.Root + "logs/" + l.log.Name + "/feed.atom"
	v := f.log(l, p.now(), 0, 0)
	f.Description = v.StateText
	page := logPage{frame: f, logView: v, Range: &rangeView{from, to}, Up: f.link("logs/" + l.log.Name + "/")}
	page.Strip = f.strip(s, "part", from, to, true)
	d, err := render("range.html", "range", page)
	if err == nil {
		p.rendered.Put(key, d, p.now().Add(p.c.Every))
	}
	return d, err
}

// searched is the page with what was found.
func (p *Page) searched(ctx context.Context, query string) (*documents.Document, error) {
	if len(query) > 200 {
		query = query[:200]
	}
	hits, err := p.search(ctx, query)
	v := p.searchView(query, hits, time.Time{})
	if errors.Is(err, errBusy) {
		v.Busy, err = true, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := render("search.html", "search", v)
	if err == nil {
		d.Cache = documents.NotAtAll
	}
	return d, err
}
