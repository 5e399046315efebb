package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ktaudit/ktaudit/api"
)

// A path is what it says or nothing: no dots, no other spelling of an epoch, no way to other
// objects.
func TestPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 5)
	w.verify(t, 1, 5)
	of := "/namespaces/" + namespace
	for _, path := range []string{
		"/", "/namespaces/", "/namespaces/other", of + "/", of + "x", "/NAMESPACES/" + namespace, of + "/audits/", of + "/audits/x",
		of + "/audits/05", of + "/audits/+5", of + "/audits/-5", of + "/audits/5.0", of + "/audits/5.json", of + "/audits/0x5", of + "/audits/%35%20",
		of + "/audits/1000000000000", of + "/audits/18446744073709551621", of + "/audits/٥", of + "/audits/5/6",
		of + "/verdicts/05", of + "/verdicts/1000000000000", of + "/evidence/x", of + "/../" + namespace, of + "/./audits/5", of + "//audits/5",
		"/namespaces/%2e%2e/audits/5", "/namespaces/..%2f" + namespace + "/audits/5", of + "/audits/..%2fverdicts%2f5", of + "/audits/%2e%2e%2f5",
		"/namespaces/" + namespace + "%2faudits/5", "/namespaces/" + namespace + "%00/audits/5", of + "%2Faudits%2F5", "/problems/x", "/problems/",
		"/.well-known/x", "/metrics", "/healthz", "/" + strings.Repeat("x/", 1000), "/namespaces/" + strings.Repeat("n", 5000),
	} {
		p := wantProblem(t, w.do(t, http.MethodGet, path, ""), http.StatusNotFound, "not-found")
		if strings.Contains(p.Detail, "store") || len(p.Detail) > 100 {
			t.Errorf("%.80s: %+v", path, p)
		}
	}
	read(t, w.do(t, http.MethodGet, of+"/audits/%35", ""), http.StatusOK) // the same path, by the rules of URLs
}

// Each path has its methods and says which.
func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 5)
	of := "/namespaces/" + namespace
	for path, allow := range map[string]string{
		"/info": "GET, HEAD, OPTIONS", "/namespaces": "GET, HEAD, OPTIONS", of: "GET, HEAD, OPTIONS", audits: "POST, OPTIONS", audits + "/5": "GET, HEAD, OPTIONS",
		of + "/reports": "POST, OPTIONS", nameOf(5): "GET, HEAD, OPTIONS",
	} {
		for _, method := range []string{"DELETE", "PUT", "PATCH", "TRACE", "BREW", "POST", "GET"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			r := w.do(t, method, path, "")
			if wantProblem(t, r, http.StatusMethodNotAllowed, "method-not-allowed"); r.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %q, want %q", method, path, r.Header.Get("Allow"), allow)
			}
		}
		r := w.do(t, http.MethodOptions, path, "")
		read(t, r, http.StatusNoContent)
		reads := strings.HasPrefix(allow, "GET")
		if r.Header.Get("Allow") != allow || (r.Header.Get("Access-Control-Allow-Methods") == "GET, HEAD") != reads {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	plain := w.do(t, http.MethodGet, audits+"/5", "")
	head := w.do(t, http.MethodHead, audits+"/5", "")
	if len(read(t, head, http.StatusOK)) > 0 || head.Header.Get("Content-Length") != fmt.Sprint(len(read(t, plain, http.StatusOK))) ||
		head.Header.Get("ETag") != plain.Header.Get("ETag") || plain.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("GET: %v\nHEAD: %v", plain.Header, head.Header)
	}
	for _, r := range w.requests {
		if !slices.Contains([]string{"GET", "HEAD", "POST", "OPTIONS", ""}, r.Method) {
			t.Errorf("a client's own method is shown to whoever counts: %+v", r)
		}
	}
}

// serve runs the API as a server of its own.
func serve(t *testing.T, w *world) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	return server
}

// dial opens a connection and sends something.
func dial(t *testing.T, server *httptest.Server, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, text)
	must(t, err)
	return c, bufio.NewReader(c)
}

// Who may not post is told so without a byte of the body, and so is whoever announces too much.
func TestRefusedBeforeBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	server := serve(t, w)
	for header, want := range map[string]int{
		"Content-Length: 1000\r\n": http.StatusUnauthorized,
		"Content-Length: 100000\r\nAuthorization: Bearer " + token + "\r\n":                           http.StatusRequestEntityTooLarge,
		"Transfer-Encoding: chunked\r\n":                                                              http.StatusUnauthorized,
		"Content-Length: 1000\r\nAuthorization: Bearer " + token + "\r\nContent-Type: text/html\r\n":  http.StatusBadRequest,
		"Content-Length: 1000\r\nExpect: 100-continue\r\n":                                            http.StatusUnauthorized,
		"Content-Length: 1000\r\nAuthorization: Bearer " + token + "\r\nContent-Type: text/plain\r\n": http.StatusBadRequest,
	} {
		_, r := dial(t, server, "POST "+audits+" HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		answer, err := http.ReadResponse(r, nil)
		must(t, err)
		if answer.StatusCode != want || !answer.Close {
			t.Errorf("%q: %d, want %d; closed: %v", header, answer.StatusCode, want, answer.Close)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("%q: the connection is not closed: %v", header, err)
		}
	}
}

// A body that comes slowly takes no slot from others, and one that breaks off signs nothing.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *api.Config, _ *api.Namespace) { c.Limits.Posts = 1 })
	server := serve(t, w)
	body := postOf(5, hexOf(5))
	begin := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", audits, token, len(body), body[:20])
	slow, answer := dial(t, server, begin)
	gone, _ := dial(t, server, begin)
	must(t, gone.Close())
	w.sign(t, 5, 6)
	_, err := io.WriteString(slow, body[20:])
	must(t, err)
	r, err := http.ReadResponse(answer, nil)
	must(t, err)
	read(t, r, http.StatusOK)
}

// A body that does not come in time is told apart from one that breaks off.
func TestBodyThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, http.StatusRequestTimeout, "timeout"},
		{io.ErrUnexpectedEOF, http.StatusBadRequest, "malformed"},
	} {
		r := httptest.NewRequest(http.MethodPost, audits, io.MultiReader(strings.NewReader(`{"epoch": 5, `), iotest.ErrReader(c.err)))
		r.Header.Set("Authorization", "Bearer "+token)
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		wantProblem(t, recorder.Result(), c.status, c.kind)
	}
}

// FuzzPost: whatever a log posts, the answer is a signature or a problem, and a defect in neither.
func FuzzPost(f *testing.F) {
	w := newWorld(f, nil)
	w.sign(f, 5, 5)
	f.Add(audits, []byte(postOf(6, hexOf(6))))
	f.Add(audits, []byte(postOf(5, hexOf(9))))
	f.Add("/namespaces/"+namespace+"/reports", []byte(reportOf(5)))
	f.Add(audits, []byte(`{"epoch": 5, "epoch": 6}`))
	f.Add("/namespaces/x/audits", []byte("{}"))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		r := requestTo(path)
		if r == nil {
			return
		}
		r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(string(body))), int64(len(body))
		r.Header.Set("Authorization", "Bearer "+token)
		wantAnswer(t, w, r)
	})
}

// FuzzPath: whatever is asked for, the answer is no defect.
func FuzzPath(f *testing.F) {
	w := newWorld(f, withArchive)
	w.sign(f, 5, 5)
	w.verify(f, 1, 5)
	for _, path := range []string{audits + "/5", "/namespaces/" + namespace + "/verdicts?from=1&to=5", nameOf(5), "/namespaces/" + namespace + "/evidence/5", "/a/../b", "/%2f"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if r := requestTo(path); r != nil {
			wantAnswer(t, w, r)
		}
	})
}

// requestTo is a request as a server would read it; nil if it would refuse it.
func requestTo(path string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil || !strings.HasPrefix(r.RequestURI, "/") {
		return nil
	}
	return r
}

func wantAnswer(t *testing.T, w *world, r *http.Request) {
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	if status := recorder.Code; status >= 500 || status < 200 || status >= 300 && status < 400 {
		t.Errorf("%s %s: %d: %s\n%s", r.Method, r.URL, status, recorder.Body, w.log.String())
	}
}
