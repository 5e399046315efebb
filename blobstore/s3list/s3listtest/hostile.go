package s3listtest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Listings has a fault befall listings only.
func Listings(f Fault) Fault { return only(isListing, f) }

// Objects has a fault befall the objects whose keys begin with a prefix, when they are read or
// their headers are.
func Objects(prefix string, f Fault) Fault {
	return only(func(r *http.Request) bool {
		return !isListing(r) && strings.HasPrefix(strings.TrimPrefix(r.URL.Path, "/"), prefix)
	}, f)
}

func isListing(r *http.Request) bool { return strings.Trim(r.URL.Path, "/") == "" }

func only(which func(*http.Request) bool, f Fault) Fault {
	return func(next http.Handler) http.Handler {
		faulty := f(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if which(r) {
				faulty.ServeHTTP(w, r)
			} else {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Drip sends the headers at once, and then n bytes of the body after each interval, until the
// client has gone. The body is not held in memory; see Pretend for a large one.
func Drip(n int, every time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&dripping{w, r, n, every}, r)
		})
	}
}

type dripping struct {
	http.ResponseWriter
	request *http.Request
	n       int
	every   time.Duration
}

func (d *dripping) Write(p []byte) (written int, err error) {
	controller := http.NewResponseController(d.ResponseWriter)
	_ = controller.Flush()
	for written < len(p) {
		select {
		case <-d.request.Context().Done():
			panic(http.ErrAbortHandler)
		case <-time.After(d.every):
		}
		n, err := d.ResponseWriter.Write(p[written:min(written+d.n, len(p))])
		written += n
		if err != nil {
			return written, err
		}
		_ = controller.Flush()
	}
	return written, nil
}

// Redirect sends clients to the same path and query at another address, such as http://HOST:PORT.
func Redirect(to string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", to+r.URL.RequestURI())
			fail(w, http.StatusTemporaryRedirect, "TemporaryRedirect")
		})
	}
}

// Lag keeps objects out of listings until they are so old; 0 ends that. They can be read from the
// first moment on, and PassLag lets time pass.
func (s *Server) Lag(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag, s.skew = by, 0
}

// PassLag lets time pass for Lag: all objects are older by d.
func (s *Server) PassLag(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += d
}

func (s *Server) lags(written time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lag > 0 && time.Since(written)+s.skew < s.lag
}

// ETags has each object's ETag changed, in listings and in its own headers.
func (s *Server) ETags(change func(key, etag string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changeETag = change
}

func (s *Server) etag(key, etag string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changeETag != nil {
		return s.changeETag(key, etag)
	}
	return etag
}

// Pretend has an object listed and served with another size than it has in the bucket. What it has
// not is zeros, and costs no memory.
func (s *Server) Pretend(key string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sizes == nil {
		s.sizes = map[string]int64{}
	}
	s.sizes[key] = size
}

func (s *Server) size(key string, real int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, ok := s.sizes[key]; ok {
		return size
	}
	return real
}

// padded is a content with zeros behind it.
type padded struct {
	content []byte
	size    int64
	at      int64
}

func (p *padded) Read(b []byte) (int, error) {
	if p.at >= p.size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.size-p.at)]
	n := 0
	if p.at < int64(len(p.content)) {
		n = copy(b, p.content[p.at:])
	}
	clear(b[n:])
	p.at += int64(len(b))
	return len(b), nil
}

func (p *padded) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return p.at, fmt.Errorf("offset %d", offset)
	}
	p.at = offset
	return offset, nil
}

// Junk writes n objects of one byte at doubling distances after an epoch: at epoch+1, +2, +4 and so
// on. Their names are those of batches. It returns their keys.
func (s *Server) Junk(t testing.TB, epoch uint64, n int) (keys []string) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("%d/%064x/%064x", epoch+1<<i, 2*i+1, 2*i+2)
		s.Replace(t, key, "x")
		keys = append(keys, key)
	}
	return keys
}
