package api_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/signature"
)

// What a log posts is signed, and anybody can read that, byte for byte, for ever.
func TestPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	answer := read(t, w.post(t, audits, postOf(5, hexOf(5))), http.StatusOK)
	s, err := signature.Parse(answer)
	must(t, err)
	keys, err := signature.ParseKeys([]string{get[client.Info](t, w, "/info").Keys[0].PublicKey})
	must(t, err)
	if err := errors.Join(keys.Verify(s), signature.Check(s, namespace, 5, digestOf(5))); err != nil {
		t.Error(err)
	}
	again := read(t, w.post(t, audits, postOf(5, strings.ToUpper(hexOf(5)))), http.StatusOK)
	r := w.do(t, http.MethodGet, audits+"/5", "")
	if got := read(t, r, http.StatusOK); !bytes.Equal(got, answer) || !bytes.Equal(again, answer) {
		t.Errorf("posted: %s\nagain: %s\nread: %s", answer, again, got)
	}
	if got := r.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("what never changes is to be kept: %q", got)
	}
	if len(w.signed) != 2 || w.signed[0] != 5 {
		t.Errorf("told of %d", w.signed)
	}
	wantProblem(t, w.do(t, http.MethodGet, audits+"/6", ""), http.StatusNotFound, "not-found")
}

// What is refused is refused for its own reason, and is told in a way that programs can read.
func TestRefusedPosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 7)
	signed := read(t, w.do(t, http.MethodGet, audits+"/6", ""), http.StatusOK)

	p := wantProblem(t, w.post(t, audits, postOf(6, hexOf(9))), http.StatusConflict, "conflict")
	if len(w.conflicts) != 1 || w.conflicts[0].Posted != hexOf(9) || !bytes.Equal(bytes.TrimSpace(p.Signed), bytes.TrimSpace(signed)) {
		t.Errorf("on record: %v; the answer has %s", w.conflicts, p.Signed)
	}
	if p := wantProblem(t, w.post(t, audits, postOf(9, hexOf(9))), http.StatusConflict, "epoch-gap"); p.ExpectedEpoch == nil || *p.ExpectedEpoch != 8 {
		t.Errorf("%+v", p)
	}
	if p := wantProblem(t, w.post(t, audits, postOf(8, hexOf(6))), http.StatusConflict, "digest-reused"); p.SignedEpoch == nil || *p.SignedEpoch != 6 {
		t.Errorf("%+v", p)
	}
	if log := w.log.String(); !strings.Contains(log, "epoch 8") || !strings.Contains(log, "signed for another epoch") {
		t.Errorf("the operator is not told of the digest: %s", log)
	}
	if p := wantProblem(t, w.post(t, audits, postOf(4, hexOf(4))), http.StatusConflict, "root-mismatch"); p.Root != "5/"+hexOf(5) {
		t.Errorf("%+v", p)
	}
	wantProblem(t, w.post(t, "/namespaces/other/audits", postOf(8, hexOf(8))), http.StatusNotFound, "not-found")
}

// A log that hangs up cannot keep a conflict off the record.
func TestConflictOfWhoeverHangsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 5)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(gone, http.MethodPost, audits, strings.NewReader(postOf(5, hexOf(6))))
	r.Header.Set("Authorization", "Bearer "+token)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	wantProblem(t, recorder.Result(), http.StatusConflict, "conflict")
	if len(w.conflicts) != 1 {
		t.Errorf("on record: %v", w.conflicts)
	}
}

func TestPostsWhereNothingIsSigned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*api.Namespace)
		kind   string
	}{
		"disabled":    {func(n *api.Namespace) { n.Disabled = true }, "namespace-disabled"},
		"not signed":  {func(n *api.Namespace) { n.Auditor = nil }, "not-signed-here"},
		"no posters":  {func(n *api.Namespace) { n.Posters = api.Posters{} }, "unauthorized"},
		"empty token": {func(n *api.Namespace) { n.Posters.Token = func() string { return "" } }, "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, _ *api.Config, n *api.Namespace) { c.change(n) })
			status := http.StatusBadRequest
			if c.kind == "unauthorized" {
				status = http.StatusUnauthorized
			}
			wantProblem(t, w.post(t, audits, postOf(5, hexOf(5))), status, c.kind)
		})
	}
}

func TestNotVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, c *api.Config, n *api.Namespace) {
		var err error
		n.Auditor, err = auditor.New(auditor.Config{
			Namespace: namespace, Store: w.store, Keys: c.Keys, Ciphersuite: 1, Verified: true, Conflict: noConflict,
		})
		must(t, err)
	})
	r := w.post(t, audits, postOf(5, hexOf(5)))
	if wantProblem(t, r, http.StatusConflict, "not-verified"); r.Header.Get("Retry-After") == "" {
		t.Error("it may be verified later")
	}
	w.verify(t, 5, 5)
	w.sign(t, 5, 5)
}

// A body is one object, whole, small, and can be understood in one way only.
func TestMalformedPosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	good := postOf(5, hexOf(5))
	for name, body := range map[string]string{
		"empty":            " ",
		"no JSON":          "epoch=5",
		"an array":         "[" + good + "]",
		"cut":              good[:len(good)-1],
		"two objects":      good + good,
		"something behind": good + "x",
		"a field twice":    `{"epoch": 5, "epoch": 6, "digest": "` + hexOf(5) + `"}`,
		"in another case":  `{"epoch": 5, "EPOCH": 6, "digest": "` + hexOf(5) + `"}`,
		"no epoch":         `{"digest": "` + hexOf(5) + `"}`,
		"null":             `{"epoch": null, "digest": "` + hexOf(5) + `"}`,
		"no digest":        `{"epoch": 5}`,
		"a short digest":   postOf(5, hexOf(5)[2:]),
		"no hexadecimal":   postOf(5, strings.Repeat("x", 64)),
		"negative":         `{"epoch": -1, "digest": "` + hexOf(5) + `"}`,
		"a fraction":       `{"epoch": 5.5, "digest": "` + hexOf(5) + `"}`,
		"text":             `{"epoch": "5", "digest": "` + hexOf(5) + `"}`,
		"too far":          postOf(1_000_000_000_000, hexOf(5)),
		"over 64 bits":     `{"epoch": 99999999999999999999, "digest": "` + hexOf(5) + `"}`,
		"not UTF-8":        "{\"\xff\": 1," + good[1:],
		"deep":             strings.Repeat("[", 3000),
		"deep in a field":  `{"x": ` + strings.Repeat("[", 3000),
	} {
		p := wantProblem(t, w.post(t, audits, body), http.StatusBadRequest, "malformed")
		if p.Detail == "" || strings.Contains(p.Detail, "Go ") || strings.Contains(p.Detail, "EOF") {
			t.Errorf("%s: %q does not say to somebody without the source what is wrong", name, p.Detail)
		}
	}
	wantProblem(t, w.post(t, audits, `{"x": "`+strings.Repeat("x", 5000)+`",`+good[1:]), http.StatusRequestEntityTooLarge, "too-large")
	wantProblem(t, w.do(t, http.MethodPost, audits, good, "Authorization", "Bearer "+token, "Content-Type", "text/plain"), http.StatusBadRequest, "malformed")
	if got := read(t, w.post(t, audits, `{"more": {"a": [null]}, "none": null,`+good[1:]), http.StatusOK); len(got) == 0 {
		t.Error("unknown fields are passed over")
	}
}

// A log whose posts take long leaves room for those of others.
func TestPostsOfOneLog(t *testing.T) {
	t.Parallel()
	stalled, goOn := make(chan bool), make(chan bool)
	w := newWorld(t, func(w *world, c *api.Config, n *api.Namespace) {
		c.Limits.Posts = 2
		signer := func(name string) *auditor.Auditor {
			a, err := auditor.New(auditor.Config{
				Namespace: name, Store: w.store, Keys: c.Keys, Ciphersuite: 1,
				Conflict: func(context.Context, auditor.Conflict) error { stalled <- true; <-goOn; return nil },
			})
			must(t, err)
			return a
		}
		slow, other := *n, *n
		slow.Auditor = signer(namespace)
		other.Name, other.Auditor = "other", signer("other")
		c.Namespaces = func() []api.Namespace { return []api.Namespace{slow, other} }
	})
	w.sign(t, 5, 5)
	var posted sync.WaitGroup
	posted.Go(func() { wantProblem(t, w.post(t, audits, postOf(5, hexOf(6))), http.StatusConflict, "conflict") })
	<-stalled
	wantProblem(t, w.post(t, audits, postOf(6, hexOf(6))), http.StatusServiceUnavailable, "busy")
	read(t, w.post(t, "/namespaces/other/audits", postOf(5, hexOf(5))), http.StatusOK)
	close(goOn)
	posted.Wait()
}

// Who may not post is told so before the body is read, whatever it is.
func TestUnauthorized(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, header := range map[string][]string{
		"nothing":         nil,
		"another token":   {"Authorization", "Bearer another"},
		"an empty token":  {"Authorization", "Bearer "},
		"a longer token":  {"Authorization", "Bearer " + token + "x"},
		"another scheme":  {"Authorization", "Basic " + token},
		"only the scheme": {"Authorization", "Bearer"},
	} {
		r := w.do(t, http.MethodPost, audits, strings.Repeat("x", 1<<20), header...)
		p := wantProblem(t, r, http.StatusUnauthorized, "unauthorized")
		if r.Header.Get("Connection") != "close" || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") || strings.Contains(p.Detail, token) {
			t.Errorf("%s: %v, %+v", name, r.Header, p)
		}
	}
	if len(w.signed) > 0 {
		t.Error("something was signed")
	}
}

// A log that posts too often is told so.
func TestPostRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *api.Config, _ *api.Namespace) { c.Limits.PostsPerSecond = 2 })
	limited := 0
	for range 10 {
		if r := w.post(t, audits, postOf(5, hexOf(5))); r.StatusCode != http.StatusOK {
			wantProblem(t, r, http.StatusTooManyRequests, "too-many-requests")
			limited++
		}
	}
	if limited < 5 {
		t.Errorf("%d of 10 posts were refused", limited)
	}
}
