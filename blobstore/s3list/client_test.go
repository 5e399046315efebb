package s3list

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob/memblob"
)

// secure serves an object over TLS. The second result makes clients trust the server.
func secure(t *testing.T) (*s3listtest.Server, string, *tls.Config) {
	t.Helper()
	behind := memblob.OpenBucket(nil)
	t.Cleanup(func() { behind.Close() })
	if err := behind.WriteAll(t.Context(), "key", []byte(alphabet), nil); err != nil {
		t.Fatal(err)
	}
	handler := s3listtest.Handler(behind)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return handler, server.URL, &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	server, address, trust := secure(t)
	o := quick()
	o.tls = trust
	b := openAt(t, address, o)
	server.Next(s3listtest.Cut(10))
	if got, err := read(t.Context(), b, "key", 0, -1); err != nil || got != alphabet {
		t.Errorf("%q, %v", got, err)
	}
	if r := server.Requests(); len(r) != 2 || r[0].ProtoMajor != 2 {
		t.Errorf("%d requests with %s", len(r), r[0].Proto)
	}
}

func TestUnknownCertificateIsAskedOnce(t *testing.T) {
	t.Parallel()
	server, address, _ := secure(t)
	_, err := list(t.Context(), openAt(t, address, quick()), "", "")
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || isTransient(err) {
		t.Error(err)
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	to := func(location string) s3listtest.Fault {
		return s3listtest.Status(307, "TemporaryRedirect", "Location", location)
	}
	target, https, trust := secure(t)
	plain := serve(t, map[string]string{"key": alphabet})
	httpsHost, plainHost := parseURL(t, https).Host, parseURL(t, plain.URL).Host
	o := quick()
	o.tls = trust
	for name, test := range map[string]struct {
		secure   bool
		location []string
		listed   []string // in the options
		want     string   // "" if the redirect is followed
	}{
		"to another path":            {true, []string{"/key"}, nil, ""},
		"to another host":            {true, []string{https + "/key"}, nil, "add redirects=HOST to its URL"},
		"to a listed host":           {true, []string{https + "/key"}, []string{"x", httpsHost}, ""},
		"to a port not listed":       {true, []string{https + "/key"}, []string{"127.0.0.1"}, "to another host"},
		"by way of another host":     {true, []string{"/key", https + "/key"}, nil, "to another host"},
		"from http to https":         {false, []string{https + "/key"}, []string{httpsHost}, ""},
		"from http to the same host": {false, []string{"/key"}, nil, ""},
		"three times":                {true, []string{"/key", "/key", "/key"}, nil, ""},
		"four times":                 {true, []string{"/key", "/key", "/key", "/key"}, nil, "more than 3 in a row"},
		"from https to http":         {true, []string{plain.URL + "/key"}, []string{plainHost}, "redirect refused: from https://127.0.0.1:"},
		"from http to another host":  {false, []string{plain.URL + "/key"}, nil, "redirect refused: from 127.0.0.1:"},
		"with credentials":           {true, []string{strings.Replace(https, "://", "://u:p@", 1) + "/key"}, nil, "to a URL with credentials"},
		"to a file":                  {true, []string{"file:///etc/passwd"}, nil, "redirect refused"},
		"to nowhere":                 {true, []string{""}, nil, "307"},
	} {
		t.Run(name, func(t *testing.T) {
			var from *s3listtest.Server
			var address string
			own := o
			own.Redirects = test.listed
			if test.secure {
				// All of httptest's servers have the same certificate.
				from, address, own.tls = secure(t)
			} else {
				from = serve(t, map[string]string{"key": alphabet})
				address = from.URL
			}
			for _, location := range test.location {
				from.Next(to(location))
			}
			before := len(plain.Requests())
			got, err := read(t.Context(), openAt(t, address, own), "key", 3, -1)
			if test.want == "" && (err != nil || got != alphabet[3:]) {
				t.Errorf("%q, %v", got, err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%q, %v", got, err)
			}
			if len(plain.Requests()) != before {
				t.Error("somebody else was asked")
			}
			for _, r := range append(from.Requests(), target.Requests()...) {
				if r.Header.Get("Range") != "bytes=3-" || r.Header.Get("Referer") != "" || !strings.HasPrefix(r.UserAgent(), "ktaudit/") {
					t.Errorf("headers %v", r.Header)
				}
			}
		})
	}
}

func TestSendsNothingOfItsOwn(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"key": alphabet}, quick())
	server.Always(s3listtest.Edit(func(h http.Header, body []byte) []byte {
		h.Set("Set-Cookie", "session=1; Path=/")
		return body
	}))
	for range 2 {
		if _, err := read(t.Context(), b, "key", 0, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := list(t.Context(), b, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range server.Requests() {
		r.Header.Del("User-Agent")
		if len(r.Header) != 1 || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("headers %v", r.Header)
		}
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"key": alphabet}, quick())
	server.Always(s3listtest.Edit(func(h http.Header, body []byte) []byte {
		h.Set("X-Long", strings.Repeat("x", 2*maxHeader))
		return body
	}))
	if _, err := read(t.Context(), b, "key", 0, -1); err == nil {
		t.Error("no error")
	}
}

// TestKeysOnTheWire: what is sent must mean the same to all who may pass it on.
func TestKeysOnTheWire(t *testing.T) {
	t.Parallel()
	c := &client{base: parseURL(t, "https://h:8/bucket/")}
	for key, want := range map[string]string{
		"12/ab/cd":    "https://h:8/bucket/12/ab/cd",
		"a b+c%?#&=":  "https://h:8/bucket/a%20b%2Bc%25%3F%23%26%3D",
		"../x/./...":  "https://h:8/bucket/%2E%2E/x/%2E/%2E%2E%2E",
		"a..b/.c":     "https://h:8/bucket/a..b/.c",
		"/a//b/":      "https://h:8/bucket//a//b/",
		"é\x00\\\n:@": "https://h:8/bucket/%C3%A9%00%5C%0A%3A%40",
	} {
		got := c.object(key)
		if got != want {
			t.Errorf("%q: %s", key, got)
		}
		if u := parseURL(t, got); u.String() != got || u.Path != "/bucket/"+key {
			t.Errorf("%q: reads as %s, path %q", key, u, u.Path)
		}
	}
}
