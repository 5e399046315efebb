package testservers

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Fault is what may go wrong with a request.
type Fault string

// The faults. Some are of reading or of writing only, and don't happen to other requests.
const (
	Unavailable Fault = "unavailable" // 503, and nothing was done
	Unanswered  Fault = "unanswered"  // 500, though it was done
	Refused     Fault = "refused"     // the connection is reset, and nothing was done
	CutOff      Fault = "cut off"     // the connection is reset, though it was done
	Truncated   Fault = "truncated"   // the answer's body ends somewhere, with the connection
	Slow        Fault = "slow"        // the answer's body trickles
	DiskFull    Fault = "disk full"   // 507 to whatever writes, and nothing was done
)

// Faults are all of them.
var Faults = []Fault{Unavailable, Unanswered, Refused, CutOff, Truncated, Slow, DiskFull}

// slowest is how long a Slow answer takes at most.
const slowest = 3 * time.Second

// FaultyS3 stands in front of an S3Server, at an address of its own, and lets the share of requests
// go wrong that was Set last.
type FaultyS3 struct {
	*S3Server
	address string
	forward *httputil.ReverseProxy

	mu        sync.Mutex
	random    *rand.Rand
	share     float64
	faults    []Fault
	counts    map[Fault]int
	quirks    []Quirk
	written   map[string]time.Time // when a key was last written, by the path of its URL
	throttled int
	rights
}

// Faulty puts a FaultyS3 in front of a server until the test ends. Which requests go wrong, and
// how, follows from the seed and their order; several clients at once make that order a matter of
// chance.
func Faulty(t testing.TB, s *S3Server, seed uint64) *FaultyS3 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	behind := &url.URL{Scheme: "http", Host: s.addr}
	f := &FaultyS3{
		S3Server: s, address: listener.Addr().String(), random: rand.New(rand.NewPCG(seed, 0)), counts: map[Fault]int{},
		forward: &httputil.ReverseProxy{
			// The host stays the one that the client signed, and the encoding too.
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(behind); r.Out.Host = r.In.Host },
			Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute},
			// the server is down
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
			ErrorLog:     log.New(io.Discard, "", 0),
		},
	}
	server := &http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return f
}

// Set lets a share, from 0 to 1, of the requests from now on go wrong in one of these ways.
func (f *FaultyS3) Set(share float64, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.share, f.faults = share, faults
}

// Counts says how many requests went wrong in which way.
func (f *FaultyS3) Counts() map[Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := map[Fault]int{}
	for fault, n := range f.counts {
		counts[fault] = n
	}
	return counts
}

// BucketURL is that of the server behind, by way of the faults.
func (f *FaultyS3) BucketURL(bucket string) string {
	_ = f.S3Server.BucketURL(bucket) // makes it
	return bucketURL(bucket, "http://"+f.address)
}

// ServeHTTP lets a request go wrong, or hands it on.
func (f *FaultyS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.forbids(w, r) || f.refuses(w, r) {
		return
	}
	fault, measure := f.draw(r)
	switch fault {
	case Unavailable:
		answer(w, http.StatusServiceUnavailable, "SlowDown")
	case DiskFull:
		answer(w, http.StatusInsufficientStorage, "InsufficientStorage")
	case Refused:
		reset(w)
	case Unanswered:
		f.forward.ServeHTTP(httptest.NewRecorder(), r)
		answer(w, http.StatusInternalServerError, "InternalError")
	case CutOff:
		f.forward.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	case Truncated:
		f.forward.ServeHTTP(&truncated{ResponseWriter: w, share: measure}, r)
	case Slow:
		f.forward.ServeHTTP(&slow{ResponseWriter: w, r: r, pause: time.Duration(measure * float64(slowest) / slowPieces)}, r)
	default:
		f.forward.ServeHTTP(w, r)
	}
}

// draw decides what goes wrong, if anything does, and by what measure from 0 to 1.
func (f *FaultyS3) draw(r *http.Request) (fault Fault, measure float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faults) == 0 || f.random.Float64() >= f.share {
		return "", 0
	}
	fault, measure = f.faults[f.random.IntN(len(f.faults))], f.random.Float64()
	reads := r.Method == http.MethodGet
	if fault == DiskFull && r.Method != http.MethodPut && r.Method != http.MethodPost || (fault == Truncated || fault == Slow) && !reads {
		return "", 0
	}
	f.counts[fault]++
	return fault, measure
}

// answer is an error in S3's words.
func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>injected by the test</Message></Error>", code)
}

// reset breaks the connection off without a word.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // closes it, too
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset rather than an end
	}
	_ = connection.Close()
}

var errCut = errors.New("cut off by the test")

// truncated passes on a share of the body. The error makes the proxy break off the connection.
type truncated struct {
	http.ResponseWriter
	share float64
	left  int
}

func (t *truncated) WriteHeader(status int) {
	length := 1000 // of a listing, which comes in chunks
	_, _ = fmt.Sscan(t.Header().Get("Content-Length"), &length)
	t.left = int(t.share * float64(length))
	t.ResponseWriter.WriteHeader(status)
}

func (t *truncated) Write(p []byte) (int, error) {
	n, err := t.ResponseWriter.Write(p[:min(len(p), t.left)])
	t.left -= n
	if err == nil && n < len(p) {
		_ = http.NewResponseController(t.ResponseWriter).Flush() // what was written arrives
		err = errCut
	}
	return n, err
}

// slow passes on the body in pieces, with pauses.
type slow struct {
	http.ResponseWriter
	r     *http.Request
	pause time.Duration
	waits int
}

const slowPieces = 10

func (s *slow) Write(p []byte) (int, error) {
	written := 0
	for piece := range slices.Chunk(p, 1+len(p)/slowPieces) {
		if s.waits++; s.waits <= slowPieces {
			select {
			case <-time.After(s.pause):
			case <-s.r.Context().Done():
				return written, s.r.Context().Err()
			}
		}
		n, err := s.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		_ = http.NewResponseController(s.ResponseWriter).Flush()
	}
	return written, nil
}
