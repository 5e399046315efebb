package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

// operation is what a method does at a path.
type operation struct {
	class class
	do    func(w http.ResponseWriter, r *http.Request) error
	// timeout bounds it; 0 for what is sent for as long as it takes, within bounds of its own.
	timeout time.Duration
	// packed: what it answers is compressed.
	packed bool
}

const (
	readTimeout    = 10 * time.Second
	summaryTimeout = time.Minute
	postTimeout    = 30 * time.Second
)

// routes are all paths, and their methods. HEAD goes with GET, OPTIONS with all.
func (a *api) routes() map[string]map[string]operation {
	read := func(do func(http.ResponseWriter, *http.Request) error) operation {
		return operation{class: reads, do: do, timeout: readTimeout, packed: true}
	}
	summary := func(do func(http.ResponseWriter, *http.Request) error) operation {
		return operation{class: summaries, do: do, timeout: summaryTimeout, packed: true}
	}
	get := func(o operation) map[string]operation { return map[string]operation{http.MethodGet: o} }
	routes := map[string]map[string]operation{
		"/info":         get(read(a.info)),
		"/namespaces":   get(summary(a.listNamespaces)),
		"/openapi.json": get(operation{do: a.openAPI, packed: true}),

		"/problems/{problem}": get(operation{do: a.showProblem}),

		"/namespaces/{namespace}":                     get(summary(a.showNamespace)),
		"/namespaces/{namespace}/audits":              {http.MethodPost: {do: a.postAudit}},
		"/namespaces/{namespace}/audits/{epoch}":      get(operation{class: reads, do: a.audit, timeout: readTimeout}),
		"/namespaces/{namespace}/last-verified-epoch": get(summary(a.lastVerified)),
		"/namespaces/{namespace}/reports":             {http.MethodPost: {do: a.postReport}},
		"/namespaces/{namespace}/verdicts":            get(operation{class: pages, do: a.listVerdicts, timeout: summaryTimeout, packed: true}),
		"/namespaces/{namespace}/verdicts/{epoch}":    get(read(a.showVerdict)),
		"/namespaces/{namespace}/status":              get(summary(a.status)),
		"/namespaces/{namespace}/incidents":           get(summary(a.incidents)),
		"/namespaces/{namespace}/evidence/{epoch}":    get(operation{class: bundles, do: a.evidence}),

		"/{epoch}/{previous}/{digest}": get(operation{class: proofs, do: a.proof}),
	}
	if a.c.Manage != nil {
		routes["/namespaces"][http.MethodPost] = operation{do: a.createNamespace}
		routes["/namespaces/{namespace}"][http.MethodPatch] = operation{do: a.changeNamespace}
	}
	return routes
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	pack, err := gzhttp.NewWrapper(gzhttp.SuffixETag(gzipSuffix), gzhttp.EnableZstd(false))
	if err != nil {
		panic(err) // it depends on nothing
	}
	for pattern, operations := range a.routes() {
		handler := a.serve(pattern, operations)
		if operations[http.MethodGet].packed {
			handler = pack(handler)
		}
		mux.Handle(pattern, handler)
	}
	mux.Handle("/", a.serve("", nil))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'")
		h.Set("Access-Control-Allow-Origin", "*") // all may read, and nothing here knows cookies
		h.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
		if path.Clean(r.URL.Path) != r.URL.Path {
			a.serve("", nil).ServeHTTP(w, r) // where the mux would redirect
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// serve answers the requests for a path, that is none if it has no operations.
func (a *api) serve(pattern string, operations map[string]operation) http.Handler {
	var allowed []string
	for method := range operations {
		allowed = append(allowed, method)
		if method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(append(allowed, http.MethodOptions), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s := &statusWriter{ResponseWriter: w}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		o, ok := operations[method]
		shown := r.Method
		defer func() { a.c.Observe(Request{shown, pattern, s.status, time.Since(began)}) }()
		switch {
		case ok:
			a.perform(s, r, o)
		case operations == nil:
			shown = ""
			a.answerError(s, r, notFound("there is nothing at this path: /openapi.json lists all"))
		case r.Method == http.MethodOptions:
			h := s.Header()
			h.Set("Allow", allow)
			if _, reads := operations[http.MethodGet]; reads {
				h.Set("Access-Control-Allow-Methods", "GET, HEAD")
				h.Set("Access-Control-Allow-Headers", "If-None-Match")
				h.Set("Access-Control-Max-Age", "86400")
			}
			s.WriteHeader(http.StatusNoContent)
		default:
			shown = ""
			s.Header().Set("Allow", allow)
			a.answerError(s, r, &problem{kind: kindMethod, detail: "allowed are " + allow, hangUp: true})
		}
	})
}

// perform does an operation within its bounds.
func (a *api) perform(w *statusWriter, r *http.Request, o operation) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler || w.status != 0 {
			panic(http.ErrAbortHandler) // part of the answer is sent: the client must see that it ends
		}
		a.answerError(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}()
	leave, err := a.enter(o.class)
	if err == nil {
		defer leave()
		if o.timeout > 0 {
			ctx, cancel := context.WithTimeout(r.Context(), o.timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		err = o.do(w, r)
	}
	switch {
	case err == nil:
	case w.status != 0:
		if !errors.Is(err, errGone) && r.Context().Err() == nil {
			a.faults.note(r, err)
		}
		panic(http.ErrAbortHandler)
	default:
		a.answerError(w, r, err)
	}
}

// statusWriter knows the status of what was answered; 0: nothing was yet.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find what it controls.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
