package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/signature"
)

const (
	namespace = "example.key-transparency.v1"
	digest    = "49eb36b2732d24dccd26c56aa99debe755488e05d2844deda0989b2932572f2d"
	key       = "b7f8c77a605705b8a0c3f228e75ff3f43b715a7321d0cc23bd177145d659686a"
)

// serve answers as the handler does, at an auditor's URL.
func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return at(t, client.Config{URL: server.URL, Backoff: time.Millisecond})
}

func at(t *testing.T, config client.Config) *client.Client {
	t.Helper()
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answers serves one text for every request.
func answers(t *testing.T, text string) *client.Client {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func signed(t *testing.T, epoch int) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("../../testdata/vectors/whatsapp-v1/signatures/%d.json", epoch))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://auditor.example":          "https://auditor.example",
		"HTTPS://Auditor.Example:443/":     "https://auditor.example",
		"https://auditor.example:8443":     "https://auditor.example:8443",
		"http://127.0.0.1:80":              "http://127.0.0.1",
		"http://localhost:8080":            "http://localhost:8080",
		"http://[::1]:8080":                "http://[::1]:8080",
		"http://auditor.example":           "",
		"https://auditor.example/v1":       "",
		"https://auditor.example?a=b":      "",
		"https://auditor.example#a":        "",
		"https://user@auditor.example":     "",
		"ftp://auditor.example":            "",
		"auditor.example":                  "",
		"https://":                         "",
		"":                                 "",
		"https://auditor.example:port":     "",
		"http://127.0.0.1.auditor.example": "",
	} {
		c, err := client.New(client.Config{URL: url})
		switch {
		case want == "" && err == nil:
			t.Errorf("%q: accepted as %s", url, c.URL())
		case want != "" && err != nil:
			t.Errorf("%q: %v", url, err)
		case want != "" && c.URL() != want:
			t.Errorf("%q: %s, want %s", url, c.URL(), want)
		}
	}
	if _, err := client.New(client.Config{URL: "http://auditor.example", AllowHTTP: true}); err != nil {
		t.Error(err)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	const one = `{"name":"a/b ü","log_directory":"https://log.example/","root":"3/` + digest + `","last_verified_epoch":7,` +
		`"status":"Online","reports_uri":"/r","audits_uri":"/a","signature_version":1}`
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if agent := r.Header.Get("User-Agent"); !strings.HasPrefix(agent, "ktaudit/") || !strings.HasSuffix(agent, " (+https://github.com/ktaudit/ktaudit)") {
			t.Errorf("User-Agent %q", agent)
		}
		text, ok := map[string]string{
			"/info":                             `{"keys":[{"public_key":"` + key + `","not_before":5,"later":1}],"logs":["x"]}`,
			"/namespaces":                       `{"namespaces":[` + one + `]}`,
			"/namespaces/a%2Fb%20%C3%BC":        one,
			"/namespaces/n/last-verified-epoch": `{"job_id":"u","epoch":7,"start_hash":"` + strings.ToUpper(digest) + `","end_hash":"` + digest + `","timestamp":9}`,
		}[r.URL.EscapedPath()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	})
	info, err := c.Info(t.Context())
	if err != nil || len(info.Keys) != 1 || info.Keys[0] != (client.Key{PublicKey: key, NotBefore: 5}) || info.Logs[0] != "x" {
		t.Errorf("%+v, error %v", info, err)
	}
	all, err := c.Namespaces(t.Context())
	if err != nil || len(all.Namespaces) != 1 {
		t.Fatalf("%+v, error %v", all, err)
	}
	n, err := c.Namespace(t.Context(), "a/b ü")
	if err != nil || n.Ciphersuite != 1 || *n.LastVerifiedEpoch != 7 {
		t.Errorf("%+v, error %v", n, err)
	}
	if root, err := n.Anchor(); err != nil || root.Epoch != 3 || root.Digest != digest {
		t.Errorf("root %v, error %v", root, err)
	}
	last, err := c.LastVerified(t.Context(), "n")
	if err != nil || last.Epoch != 7 || last.StartHash != digest {
		t.Errorf("%+v, error %v", last, err)
	}
	if _, err := c.LastVerified(t.Context(), "other"); !errors.Is(err, client.ErrNotFound) || !strings.Contains(err.Error(), "other") {
		t.Errorf("unknown: %v", err)
	}
	for _, name := range []string{"", ".", "..", strings.Repeat("x", 513)} {
		if _, err := c.Namespace(t.Context(), name); err == nil || errors.Is(err, client.ErrNotFound) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	keys, err := signature.ParseKeys([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/namespaces/" + namespace + "/audits/7", "/namespaces/" + namespace + "/audits/8", "/namespaces/other/audits/7":
			_, _ = w.Write(signed(t, 7))
		case "/namespaces/" + namespace + "/audits/9":
			_, _ = io.WriteString(w, "{}")
		case "/namespaces/" + namespace + "/audits/11":
			_, _ = io.WriteString(w, "<!DOCTYPE html>")
		default:
			http.NotFound(w, r)
		}
	})
	raw, s, err := c.Audit(t.Context(), namespace, 7)
	if err != nil || !bytes.Equal(raw, signed(t, 7)) || keys.Verify(s) != nil {
		t.Errorf("%s: %v", raw, err)
	}
	for _, test := range []struct {
		namespace string
		epoch     uint64
		want      error
		raw       bool
	}{
		{namespace, 8, signature.ErrMismatch, true},
		{"other", 7, signature.ErrMismatch, true},
		{namespace, 9, signature.ErrMalformed, true},
		{namespace, 10, client.ErrNotFound, false},
		{namespace, 11, client.ErrMalformed, false},
	} {
		raw, _, err := c.Audit(t.Context(), test.namespace, test.epoch)
		if !errors.Is(err, test.want) || len(raw) > 0 != test.raw {
			t.Errorf("%s, epoch %d: %s, %v", test.namespace, test.epoch, raw, err)
		}
	}
}

// What no auditor answers is told as such, whatever it is, and in one line.
func TestMalformed(t *testing.T) {
	t.Parallel()
	const fine = `"status":"Online","ciphersuite":1`
	for name, text := range map[string]string{
		"a page":               "<!DOCTYPE html>\n<p>log in",
		"nothing":              "",
		"null":                 "null",
		"a list":               "[]",
		"no namespaces":        "{}",
		"namespaces null":      `{"namespaces":null}`,
		"cut off":              `{"namespaces":[`,
		"something behind":     `{"namespaces":[]}{}`,
		"a field twice":        `{"namespaces":[],"namespaces":[]}`,
		"a field in two cases": `{"namespaces":[],"Namespaces":[]}`,
		"deep within, twice":   `{"namespaces":[],"x":[{"y":{"z":1,"z":2}}]}`,
		"Kelvin":               `{"namespaces":[],"k":1,"` + "\u212a" + `":2}`,
		"not UTF-8":            "{\"namespaces\":[],\"x\":\"\xff\"}",
		"deep":                 `{"namespaces":[],"x":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`,
		"no name":              `{"namespaces":[{` + fine + `}]}`,
		"a name twice":         `{"namespaces":[{"name":"a",` + fine + `},{"name":"a",` + fine + `}]}`,
		"no status":            `{"namespaces":[{"name":"a","ciphersuite":1}]}`,
		"another suite":        `{"namespaces":[{"name":"a","status":"Online","ciphersuite":1,"signature_version":2}]}`,
		"no root":              `{"namespaces":[{"name":"a","root":"7",` + fine + `}]}`,
		"a suite of a type":    `{"namespaces":[{"name":"a","status":"Online","ciphersuite":"1"}]}`,
		"too large":            `{"namespaces":[],"x":"` + strings.Repeat("x", 8<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := answers(t, text).Namespaces(t.Context())
			if !errors.Is(err, client.ErrMalformed) || all.Namespaces != nil {
				t.Fatalf("%+v, error %v", all, err)
			}
			if len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("error %q", err)
			}
		})
	}
	if _, err := answers(t, `{"keys":[{"public_key":"00"}]}`).Info(t.Context()); !errors.Is(err, client.ErrMalformed) {
		t.Errorf("no key: %v", err)
	}
	if _, err := answers(t, `{"epoch":7,"start_hash":"","end_hash":""}`).LastVerified(t.Context(), "n"); !errors.Is(err, client.ErrMalformed) {
		t.Errorf("no hashes: %v", err)
	}
	if _, err := answers(t, `{"name":"m",`+fine+`}`).Namespace(t.Context(), "n"); !errors.Is(err, client.ErrMalformed) {
		t.Errorf("another namespace: %v", err)
	}
	if _, _, err := answers(t, strings.Repeat(" ", signature.MaxSize+1)).Audit(t.Context(), "n", 7); !errors.Is(err, client.ErrMalformed) {
		t.Errorf("a large signed digest: %v", err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status   int
		after    string
		body     string
		requests int64
		passes   bool
		detail   string
	}{
		{429, "", "slow down", 3, true, "slow down"},
		{429, "7200", "", 1, true, ""},
		{500, "", "<html>", 3, true, ""},
		{503, "-1", `{"title":"full","detail":"come` + "\u202e" + `back"}`, 3, true, `full: come\u202eback`},
		{501, "", "", 1, false, ""},
		{403, "60", "no", 1, false, "no"},
		{301, "", "", 1, false, ""}, // without a Location
		{204, "", "", 1, false, ""},
	} {
		var requests atomic.Int64
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			if test.after != "" {
				w.Header().Set("Retry-After", test.after)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		_, err := c.Info(t.Context())
		refused, ok := errors.AsType[*client.StatusError](err)
		if !ok && test.status != 301 || requests.Load() != test.requests {
			t.Errorf("%d: %d requests, error %v", test.status, requests.Load(), err)
		}
		if ok && (refused.Status != test.status || refused.MayPass() != test.passes || refused.Detail != test.detail) {
			t.Errorf("%d: %+v", test.status, refused)
		}
		if test.after == "7200" && refused.After != time.Hour {
			t.Errorf("it asks to wait %s", refused.After)
		}
	}
}

func TestAsksAgain(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch requests.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"keys":[]`)
		default:
			_, _ = io.WriteString(w, `{"keys":[],"logs":[]}`)
		}
	})
	if _, err := c.Info(t.Context()); err != nil || requests.Load() != 3 {
		t.Errorf("%d requests, error %v", requests.Load(), err)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"keys":[],"logs":[]}`)
	}))
	t.Cleanup(target.Close)
	secure := httptest.NewTLSServer(target.Config.Handler)
	t.Cleanup(secure.Close)
	for name, test := range map[string]struct {
		to func(path string) string
		ok bool
	}{
		"on the host":       {func(string) string { return "/end" }, true},
		"for ever":          {func(path string) string { return path + "x" }, false},
		"to https":          {func(string) string { return secure.URL }, true},
		"to plain http":     {func(string) string { return target.URL }, false},
		"with credentials":  {func(string) string { return strings.Replace(secure.URL, "//", "//a:b@", 1) }, false},
		"to another scheme": {func(string) string { return "file:///etc/passwd" }, false},
	} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/end" {
				_, _ = io.WriteString(w, `{"keys":[],"logs":[]}`)
				return
			}
			http.Redirect(w, r, test.to(r.URL.Path), http.StatusFound)
		}))
		t.Cleanup(server.Close)
		trusting := secure.Client() // httptest's servers have one certificate
		_, err := at(t, client.Config{URL: server.URL, HTTP: trusting}).Info(t.Context())
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := c.Info(ctx); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("0", 64)
	log := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/7/" + other + "/" + digest:
			_, _ = io.WriteString(w, "proof")
		case "/8/" + other + "/" + digest:
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "pro")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(log.Close)
	c := answers(t, "")
	p, err := c.Proof(t.Context(), log.URL+"/a/path", 7, other, strings.ToUpper(digest))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if b, err := io.ReadAll(p); string(b) != "proof" || err != nil || p.Size != 5 {
		t.Errorf("%q of %d bytes, error %v", b, p.Size, err)
	}
	if _, err := c.Proof(t.Context(), log.URL, 9, other, digest); !errors.Is(err, client.ErrNotFound) {
		t.Error(err)
	}
	broken, err := c.Proof(t.Context(), log.URL, 8, other, digest)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	if b, err := io.ReadAll(broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, error %v", b, err)
	}
	for _, directory := range []string{"", "http://log.example", "s3://bucket", "https://a:b@log.example"} {
		if _, err := c.Proof(t.Context(), directory, 7, other, digest); err == nil || errors.Is(err, client.ErrNotFound) {
			t.Errorf("%q: %v", directory, err)
		}
	}
	if _, err := c.Proof(t.Context(), log.URL, 7, "../..", digest); err == nil {
		t.Error("a digest that is a path was accepted")
	}
	secure := at(t, client.Config{URL: "https://auditor.example"})
	if _, err := secure.Proof(t.Context(), log.URL, 7, other, digest); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("plain http: %v", err)
	}
}

// FuzzAnswers: whatever an auditor answers, nothing panics, and what is refused is malformed.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		"", "null", `{"keys":[{"public_key":"` + key + `","not_before":5}],"logs":[]}`,
		`{"namespaces":[{"name":"n","status":"Online","ciphersuite":1,"root":"1/` + digest + `"}]}`,
		`{"name":"n","status":"Online","ciphersuite":1}`, `{"epoch":1,"start_hash":"` + digest + `","end_hash":"` + digest + `"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := at(t, client.Config{URL: "https://auditor.example", HTTP: &http.Client{Transport: canned(b)}})
		_, err1 := c.Info(t.Context())
		all, err2 := c.Namespaces(t.Context())
		n, err3 := c.Namespace(t.Context(), "n")
		last, err4 := c.LastVerified(t.Context(), "n")
		_, s, err5 := c.Audit(t.Context(), "n", 7)
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil && !errors.Is(err, client.ErrMalformed) {
				t.Error(err)
			}
		}
		if err5 != nil && !errors.Is(err5, signature.ErrMalformed) && !errors.Is(err5, signature.ErrMismatch) && !errors.Is(err5, client.ErrMalformed) {
			t.Error(err5)
		}
		if err3 == nil && n.Name != "n" || err4 == nil && len(last.EndHash) != 64 || err2 == nil && all.Namespaces == nil || err5 == nil && s.Epoch != 7 {
			t.Errorf("%+v %+v %+v %+v", n, last, all, s)
		}
	})
}

// canned answers every request with its bytes.
type canned []byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c)), Request: r}, nil
}
