package s3listtest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
)

// Fault takes the place of an answer.
type Fault func(http.Handler) http.Handler

// Status answers with a status and S3's name for the error, and with headers, given as name, value,
// name, value.
func Status(status int, code string, headers ...string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			fail(w, status, code)
		})
	}
}

// Page answers with a page for people.
func Page(status int) Fault {
	return Body(status, "text/html", "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><p>Sign in to go on.<br></body></html>")
}

// Body answers with a text of the caller's.
func Body(status int, contentType, text string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		})
	}
}

// Edit changes the right answer before it is sent; the length is made to fit, unless edit sets one.
func Edit(edit func(header http.Header, body []byte) []byte) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, header, body := right(next, r)
			length := header.Get("Content-Length")
			body = edit(header, body)
			if r.Method != http.MethodHead && header.Get("Content-Length") == length {
				header.Set("Content-Length", strconv.Itoa(len(body)))
			}
			send(w, status, header, body)
		})
	}
}

// Cut sends the whole answer's headers and n bytes of its body, and breaks the connection.
func Cut(n int) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, header, body := right(next, r)
			header.Set("Content-Length", strconv.Itoa(len(body)))
			send(w, status, header, body[:min(n, len(body))])
			panic(http.ErrAbortHandler)
		})
	}
}

// Stall sends n bytes of the body, and nothing until the client has gone.
func Stall(n int) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, header, body := right(next, r)
			header.Set("Content-Length", strconv.Itoa(len(body)))
			send(w, status, header, body[:min(n, len(body))])
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})
	}
}

// Silence answers nothing at all until the client has gone.
func Silence(http.Handler) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// HangUp closes the connection in place of an answer.
func HangUp(http.Handler) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// IgnoreRange is a server that always sends whole objects.
func IgnoreRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		next.ServeHTTP(w, r)
	})
}

// DropQuery is a content network that doesn't pass some of the query on.
func DropQuery(names ...string) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			q := r.URL.Query()
			for _, name := range names {
				q.Del(name)
			}
			r.URL.RawQuery = q.Encode()
			next.ServeHTTP(w, r)
		})
	}
}

// right is the answer that the next handler would give.
func right(next http.Handler, r *http.Request) (status int, header http.Header, body []byte) {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	return recorder.Code, recorder.Header(), bytes.Clone(recorder.Body.Bytes())
}

func send(w http.ResponseWriter, status int, header http.Header, body []byte) {
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// RefuseUnknown refuses listings that have a query parameter S3 does not know, with a status.
func RefuseUnknown(status int) Fault {
	known := []string{"list-type", "encoding-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "fetch-owner"}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name := range r.URL.Query() {
				if !slices.Contains(known, name) {
					fail(w, status, "InvalidArgument")
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}
