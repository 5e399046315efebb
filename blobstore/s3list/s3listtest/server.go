// Package s3listtest is a public log for tests: a server on this machine that lists and serves a
// bucket as S3 behind a content delivery network does, without credentials, and with that
// arrangement's faults when a test asks for them.
//
// The answers follow Amazon's documentation of ListObjectsV2 and GetObject. It is for tests only:
// objects are read into memory.
package s3listtest

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Server serves a bucket. It may be used by several goroutines at once.
type Server struct {
	// URL is the server's address, http://127.0.0.1:PORT.
	URL    string
	bucket *blob.Bucket
	server *httptest.Server // nil for a Handler

	mu       sync.Mutex
	requests []Request
	next     []Fault
	always   []Fault

	lag, skew  time.Duration
	changeETag func(key, etag string) string
	sizes      map[string]int64 // by key, see Pretend
}

// Request is one that the server was sent.
type Request struct {
	*http.Request
	Time time.Time
}

// New starts a server that ends with the test. The bucket stays the caller's to close.
func New(t testing.TB, bucket *blob.Bucket) *Server {
	s := &Server{bucket: bucket}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	s.URL = s.server.URL
	return s
}

// Handler is a server without an address, for those who start one of their own.
func Handler(bucket *blob.Bucket) *Server { return &Server{bucket: bucket} }

// BucketURL is for gocloud.
func (s *Server) BucketURL() string { return "s3list+" + s.URL }

// Next lets the coming requests fail, one after the other. A nil Fault lets its request through.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, faults...)
}

// Always lets all requests fail, also those that Next has a fault for. Without faults it ends that.
func (s *Server) Always(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = faults
}

// Requests are those that have come, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ServeHTTP answers a request, or lets it fail.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, Request{r, time.Now()})
	faults := slices.Clone(s.always)
	if len(s.next) > 0 {
		if s.next[0] != nil {
			faults = append(faults, s.next[0])
		}
		s.next = s.next[1:]
	}
	s.mu.Unlock()
	var answer http.Handler = http.HandlerFunc(s.answer)
	for _, fault := range faults {
		answer = fault(answer)
	}
	answer.ServeHTTP(w, r)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("X-Cache", "Miss from cloudfront")
	key := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	case key == "":
		s.list(w, r)
	default:
		s.object(w, r, key)
	}
}

func (s *Server) object(w http.ResponseWriter, r *http.Request, key string) {
	attributes, err := s.bucket.Attributes(r.Context(), key)
	if err != nil {
		if gcerrors.Code(err) == gcerrors.NotFound {
			fail(w, http.StatusNotFound, "NoSuchKey")
		} else {
			fail(w, http.StatusInternalServerError, "InternalError")
		}
		return
	}
	content, err := s.bucket.ReadAll(r.Context(), key)
	if err != nil {
		fail(w, http.StatusInternalServerError, "InternalError")
		return
	}
	for name, value := range map[string]string{
		"Accept-Ranges": "bytes", "Cache-Control": attributes.CacheControl, "Content-Disposition": attributes.ContentDisposition,
		"Content-Language": attributes.ContentLanguage, "Content-Type": attributes.ContentType, "ETag": s.etag(key, attributes.ETag), "x-amz-server-side-encryption": "AES256",
	} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	// ServeContent handles ranges and conditions as S3 does.
	http.ServeContent(encoded{w, attributes.ContentEncoding}, r, "", attributes.ModTime, &padded{content: content, size: s.size(key, int64(len(content)))})
}

// encoded keeps the encoding from http.ServeContent, which would leave out the length.
type encoded struct {
	http.ResponseWriter
	encoding string
}

func (e encoded) WriteHeader(status int) {
	if e.encoding != "" {
		e.Header().Set("Content-Encoding", e.encoding)
	}
	e.ResponseWriter.WriteHeader(status)
}

// fail answers with an error of S3's.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header+"<Error><Code>"+code+"</Code><Message>"+http.StatusText(status)+
		"</Message><RequestId>4VWJ5TT01SRSPHZE</RequestId><HostId>uJ0G</HostId></Error>")
}

// Replace writes an object to the bucket behind the server.
func (s *Server) Replace(t testing.TB, key, content string) {
	t.Helper()
	if err := s.bucket.WriteAll(t.Context(), key, []byte(content), nil); err != nil {
		t.Fatal(err)
	}
}

// Close ends the server before the test does.
func (s *Server) Close() { s.server.Close() }
