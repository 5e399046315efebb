package fetcher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob"
)

// proxy passes connections on to a server, and breaks each off after as many bytes of the answer as
// limit says.
type proxy struct {
	net.Listener
	connections atomic.Int64
}

func startProxy(t *testing.T, server string, limit func() int64) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.connections.Add(1)
			running.Go(func() {
				defer client.Close()
				upstream, err := new(net.Dialer).DialContext(context.Background(), "tcp", server)
				if err != nil {
					return
				}
				running.Go(func() {
					_, _ = io.Copy(upstream, client)
					_ = upstream.Close()
				})
				_, _ = io.CopyN(client, upstream, limit())
			})
		}
	})
	return p
}

// bucketURL is a bucket URL by way of the proxy.
func (p *proxy) bucketURL(t *testing.T, direct string) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("endpoint", "http://"+p.Addr().String())
	u.RawQuery = q.Encode()
	return u.String()
}

func openBucket(t *testing.T, bucketURL string) *blob.Bucket {
	t.Helper()
	bucket, err := blob.OpenBucket(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

// A real S3 server is read right: directly, and over connections that break again and again.
func TestS3(t *testing.T) { eachWay(t, testS3) }

func testS3(t *testing.T, in func(Options) Options) {
	t.Parallel()
	server := testservers.S3(t)
	bucketURL := server.BucketURL("log")
	direct := openBucket(t, bucketURL)
	content := like(3<<20, 16)
	objects := map[string][]byte{
		key(1, digestA, digestB):           content,
		key(2, digestA, digestB) + ".zst":  zstdBytes(t, content),
		key(3, digestA, digestB) + ".gz":   gzipBytes(t, content),
		key(4, digestA, digestB) + ".s2":   s2Bytes(t, content),
		key(5, digestA, digestB):           nil,
		key(60, digestA, digestB):          content[:100],
		key(7, digestA, digestB):           content[:100],
		key(7, digestA, digestC) + ".zst":  zstdBytes(t, content[:100]),
		key(8, digestA, digestB) + ".zst":  zstdBytes(t, content)[:1<<20],
		key(9, digestA, digestB) + ".html": content[:100],
	}
	for k, stored := range objects {
		if err := direct.WriteAll(t.Context(), k, stored, nil); err != nil {
			t.Fatal(err)
		}
	}

	random := rand.New(rand.NewPCG(17, 17))
	var mu sync.Mutex
	p := startProxy(t, strings.TrimPrefix(server.Endpoint(), "http://"), func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return 8<<10 + random.Int64N(1<<20) // a listing gets through, a batch does not
	})
	for way, bucket := range map[string]*blob.Bucket{"direct": direct, "broken": openBucket(t, p.bucketURL(t, bucketURL))} {
		f := New(bucket, in(stubborn))
		for epoch, want := range map[uint64]struct {
			size        int
			compression string
		}{1: {3 << 20, "none"}, 2: {3 << 20, "zstd"}, 3: {3 << 20, "gzip"}, 4: {3 << 20, "s2"}, 5: {0, "none"}, 60: {100, "none"}} {
			object, err := f.Locate(t.Context(), epoch)
			if err != nil {
				t.Fatal(way, err)
			}
			var archive bytes.Buffer
			batch, err := f.Open(t.Context(), object, &archive)
			if err != nil {
				t.Fatal(way, err)
			}
			wantWhole(t, batch, objects[object.Key], content[:want.size], want.compression)
			if !bytes.Equal(archive.Bytes(), objects[object.Key]) {
				t.Errorf("%s: %s: %d bytes archived", way, object.Key, archive.Len())
			}
		}
		if _, err := f.Locate(t.Context(), 6); !errors.Is(err, ErrNotPublished) {
			t.Errorf("%s: epoch 6: %v", way, err)
		}
		if _, err := f.Locate(t.Context(), 7); Transient(err) || !strings.Contains(err.Error(), "more than one batch") {
			t.Errorf("%s: epoch 7: %v", way, err)
		}
		object, err := f.Locate(t.Context(), 8)
		if err != nil {
			t.Fatal(way, err)
		}
		batch, err := f.Open(t.Context(), object, nil)
		if err != nil {
			t.Fatal(way, err)
		}
		if _, err := io.Copy(io.Discard, batch); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: half a zstd frame: %v", way, err)
		}
		_ = batch.Close()
		if _, err := f.Locate(t.Context(), 9); err == nil || Transient(err) {
			t.Errorf("%s: epoch 9: %v", way, err)
		}
	}
	if n := p.connections.Load(); n < 10 {
		t.Errorf("only %d connections: nothing was broken off", n)
	}
}

// Losing the server in the middle of a batch, and getting another object after it, are both
// noticed.
func TestS3Outages(t *testing.T) { eachWay(t, testS3Outages) }

func testS3Outages(t *testing.T, way func(Options) Options) {
	t.Parallel()
	server := testservers.S3(t)
	bucket := openBucket(t, server.BucketURL("log"))
	content := random(8<<20, 18)
	name := key(1, digestA, digestB)
	if err := bucket.WriteAll(t.Context(), name, content, nil); err != nil {
		t.Fatal(err)
	}
	// Past what is read ahead, so that the first body breaks off only once the test goes on
	// reading.
	p := startProxy(t, strings.TrimPrefix(server.Endpoint(), "http://"), func() int64 { return 4 << 20 })
	f := New(openBucket(t, p.bucketURL(t, server.BucketURL("log"))), way(stubborn))
	object, err := New(bucket, Options{}).Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := f.Open(t.Context(), object, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if _, err := io.CopyN(io.Discard, batch, 100); err != nil {
		t.Fatal(err)
	}
	if err := bucket.WriteAll(t.Context(), name, random(8<<20, 19), nil); err != nil {
		t.Fatal(err)
	}
	later := object.ModTime.Add(time.Minute) // HTTP only tells times a second apart
	if err := os.Chtimes(filepath.Join(server.BucketDir("log"), name), later, later); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, batch); !errors.Is(err, ErrChanged) || !Transient(err) {
		t.Errorf("replaced: %v", err)
	}

	f = New(bucket, way(Options{MaxAttempts: 1})) // AWS's library has retries of its own
	if object, err = f.Locate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if batch, err = f.Open(t.Context(), object, nil); err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if _, err := io.CopyN(io.Discard, batch, 100); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := io.Copy(io.Discard, batch); err == nil || !Transient(err) || !strings.Contains(err.Error(), name) {
		t.Errorf("server gone: %v", err)
	}
	if _, err := f.Locate(t.Context(), 1); err == nil || !Transient(err) || errors.Is(err, ErrNotPublished) {
		t.Errorf("server gone: Locate gave %v", err)
	}
}
