package fetcher

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ktaudit/ktaudit/internal/resume"
)

// stubborn options make faults cheap, and outlast any number of them.
var stubborn = Options{MaxAttempts: 1000, Backoff: time.Microsecond}

// eachWay runs a test that fetches objects with one request, and in ranges.
func eachWay(t *testing.T, test func(t *testing.T, way func(Options) Options)) {
	t.Helper()
	t.Run("whole", func(t *testing.T) { test(t, func(o Options) Options { return o }) })
	t.Run("ranges", func(t *testing.T) { test(t, inRanges) })
}

// inRanges are options with which an object is fetched in small ranges, four at once.
func inRanges(o Options) Options {
	o.Ranges, o.rangeSize = 4, 64<<10
	return o
}

// random returns n bytes that no compression can shrink.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// one is a log directory with a batch for epoch 1, published at a certain time.
func one(content []byte, f func(request int, offset int64) fault) *faultyBucket {
	return &faultyBucket{
		objects: map[string][]byte{key(1, digestA, digestB): content},
		modTime: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		fault:   f,
	}
}

// fetch locates epoch 1 and opens it.
func fetch(t testing.TB, b *faultyBucket, o Options, archive io.Writer) *Batch {
	t.Helper()
	f := New(b.open(t), o)
	object, err := f.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := f.Open(t.Context(), object, archive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = batch.Close() })
	return batch
}

// wantWhole reads a batch to its end and checks everything that is known of it.
func wantWhole(t testing.TB, batch *Batch, storedBytes, content []byte, compression string) {
	t.Helper()
	if _, err := batch.Info(); err == nil {
		t.Error("Info before anything was read")
	}
	got, err := io.ReadAll(batch)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Fatalf("read %d bytes, want %d others", len(got), len(content))
	}
	if err := batch.Finish(); err != nil {
		t.Errorf("Finish after the end: %v", err)
	}
	want := Info{StoredBytes: int64(len(storedBytes)), Bytes: int64(len(content)), Compression: compression, SHA256: sum(storedBytes)}
	for range 2 {
		if info, err := batch.Info(); err != nil || info != want {
			t.Errorf("got %+v, %v; want %+v", info, err, want)
		}
		if err := batch.Close(); err != nil { // which leaves Info alone
			t.Error(err)
		}
	}
	if _, err := batch.Read(make([]byte, 1)); err != errClosed {
		t.Errorf("Read after Close: %v", err)
	}
}

func TestOpen(t *testing.T) { eachWay(t, testOpen) }

func testOpen(t *testing.T, way func(Options) Options) {
	t.Parallel()
	for _, size := range []int{0, 1, 9, 10, 11, 5 << 10, bufferSize - 1, bufferSize, bufferSize + 1, 3 << 20} {
		content := random(size, 1)
		var archive bytes.Buffer
		b := one(content, nil)
		wantWhole(t, fetch(t, b, way(Options{}), &archive), content, content, "none")
		if !bytes.Equal(archive.Bytes(), content) {
			t.Errorf("%d bytes: archived %d others", size, archive.Len())
		}
		if n := b.requests(); n != partsOf(size, way) {
			t.Errorf("%d bytes took %d requests", size, n)
		}
	}
}

// partsOf is how many parts an object is fetched in.
func partsOf(size int, way func(Options) Options) int {
	o := way(Options{}).withDefaults()
	if o.readAhead(int64(size)) == 0 {
		return 1
	}
	return (size + int(o.rangeSize) - 1) / int(o.rangeSize)
}

// However the body breaks, and wherever, the bytes, their hash and the archive are those of the
// object.
func TestResume(t *testing.T) { eachWay(t, testResume) }

func testResume(t *testing.T, way func(Options) Options) {
	t.Parallel()
	for name, f := range map[string]fault{
		"cut":               {end: io.ErrUnexpectedEOF},
		"cut without error": {end: io.EOF},
		"reset":             {end: errors.New("connection reset by peer")},
		"stalled":           {stall: true},
		"refused":           {open: errServer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				r := rand.New(rand.NewPCG(seed, 2))
				content := random(r.IntN(1<<20), seed)
				for compression, stored := range map[string][]byte{"none": content, "zstd": zstdBytes(t, content)} {
					left := 4
					var mu sync.Mutex
					b := one(stored, func(int, int64) fault {
						mu.Lock()
						defer mu.Unlock()
						if left--; left < 0 {
							return fault{}
						}
						f := f
						f.cut = r.IntN(len(stored) + 1)
						return f
					})
					o := way(stubborn)
					if f.stall {
						o.IdleTimeout = 5 * time.Millisecond
					}
					var archive bytes.Buffer
					wantWhole(t, fetch(t, b, o, &archive), stored, content, compression)
					if !bytes.Equal(archive.Bytes(), stored) {
						t.Errorf("archived %d bytes, want %d others", archive.Len(), len(stored))
					}
				}
			}
		})
	}
}

// A body that lasts for 64 KiB each time is resumed as often as it takes.
func TestResumeWithProgress(t *testing.T) {
	t.Parallel()
	content := random(40*resume.MinProgress, 3)
	b := one(content, func(int, int64) fault { return fault{cut: resume.MinProgress, end: io.ErrUnexpectedEOF} })
	wantWhole(t, fetch(t, b, Options{Backoff: time.Microsecond}, nil), content, content, "none")
	if b.requests() != 40 {
		t.Errorf("%d requests, want 40", b.requests())
	}
}

// Faults in the way of a batch are transient, whatever its bytes are: never its end, never grounds
// for a rejection.
func TestFaults(t *testing.T) { eachWay(t, testFaults) }

func testFaults(t *testing.T, way func(Options) Options) {
	t.Parallel()
	content := random(300<<10, 4)
	errArchive := errors.New("disk full")
	for name, test := range map[string]struct {
		fault    func(request int, offset int64) fault
		archive  io.Writer
		options  Options
		want     error
		requests int
	}{
		"never opens": {
			fault: func(int, int64) fault { return fault{open: errServer} }, want: errServer, requests: 5,
		},
		"never opens, more attempts": {
			fault:   func(int, int64) fault { return fault{open: errServer} },
			options: Options{MaxAttempts: 9}, want: errServer, requests: 9,
		},
		"is gone": {
			fault: func(int, int64) fault { return fault{open: errMissing} }, want: errMissing, requests: 1,
		},
		"one byte a request": {
			fault: func(int, int64) fault { return fault{cut: 1, end: io.EOF} }, want: io.ErrUnexpectedEOF, requests: 5,
		},
		"stops for good": {
			fault: func(request int, _ int64) fault {
				if request == 1 {
					return fault{cut: 100 << 10, end: errServer}
				}
				return fault{open: errServer}
			},
			want: errServer, requests: 5,
		},
		"stalls for good": {
			fault:   func(int, int64) fault { return fault{cut: 10, stall: true} },
			options: Options{IdleTimeout: 5 * time.Millisecond}, want: errStalled, requests: 5,
		},
		"is longer than listed": {
			fault: func(int, int64) fault { return fault{content: random(300<<10+1, 4)} }, want: ErrChanged, requests: 1,
		},
		"is longer than it says": {
			fault: func(int, int64) fault { return fault{content: random(300<<10+1, 4), size: 300 << 10} },
			want:  ErrChanged, requests: 1,
		},
		"is shorter than listed": {
			fault: func(int, int64) fault { return fault{content: random(300<<10-1, 4)} }, want: ErrChanged, requests: 1,
		},
		"is shorter than it says": {
			fault: func(int, int64) fault { return fault{content: random(300<<10-1, 4), size: 300 << 10} },
			want:  io.ErrUnexpectedEOF, requests: 5,
		},
		"is written again": {
			fault: func(request int, _ int64) fault {
				if request == 1 {
					return fault{cut: 100 << 10, end: io.EOF}
				}
				return fault{modTime: time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)}
			},
			want: ErrChanged, requests: 2,
		},
		"starts again when resumed": {
			fault: func(_ int, offset int64) fault {
				if offset == 0 {
					return fault{cut: 100 << 10, end: io.EOF}
				}
				return fault{restart: true}
			},
			want: ErrChanged, requests: 2,
		},
		"can't be archived": {
			archive: brokenWriter{errArchive}, want: errArchive, requests: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for compression, stored := range map[string][]byte{"none": content, "zstd": zstdFrame(content), "gzip": gzipStored(content)} {
				if len(stored) != len(content) && strings.Contains(name, "than") {
					continue // those cases bring content of their own
				}
				o := way(test.options)
				o.Backoff = time.Microsecond
				b := one(stored, test.fault)
				batch := fetch(t, b, o, test.archive)
				_, err := io.Copy(io.Discard, batch)
				if !errors.Is(err, test.want) || !Transient(err) || !strings.Contains(err.Error(), key(1, digestA, digestB)) {
					t.Errorf("%s: got %v, want %v", compression, err, test.want)
				}
				if _, again := batch.Read(make([]byte, 1)); again != err {
					t.Errorf("%s: then %v", compression, again)
				}
				if finish := batch.Finish(); finish != err {
					t.Errorf("%s: Finish gave %v", compression, finish)
				}
				if info, err := batch.Info(); err == nil {
					t.Errorf("%s: got Info %+v of half a batch", compression, info)
				}
				// In parts, it is for the first of them to fail; none makes more requests than all would.
				parts := partsOf(len(stored), way)
				if n := b.requests(); n < test.requests && parts == 1 || n > test.requests*parts {
					t.Errorf("%s: %d requests for %d parts, want %d", compression, n, parts, test.requests)
				}
			}
		})
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// A verifier that has seen enough still gets the hash of all stored bytes.
func TestFinish(t *testing.T) { eachWay(t, testFinish) }

func testFinish(t *testing.T, way func(Options) Options) {
	t.Parallel()
	content := random(4<<20, 5)
	for compression, stored := range map[string][]byte{"none": content, "zstd": zstdBytes(t, content)} {
		var archive bytes.Buffer
		batch := fetch(t, one(stored, nil), way(Options{}), &archive)
		if _, err := io.CopyN(io.Discard, batch, 1000); err != nil {
			t.Fatal(err)
		}
		if err := batch.Finish(); err != nil {
			t.Fatal(err)
		}
		want := Info{StoredBytes: int64(len(stored)), Bytes: 4 << 20, Compression: compression, SHA256: sum(stored)}
		if info, err := batch.Info(); err != nil || info != want {
			t.Errorf("got %+v, %v; want %+v", info, err, want)
		}
		if !bytes.Equal(archive.Bytes(), stored) {
			t.Errorf("%s: archived %d bytes of %d", compression, archive.Len(), len(stored))
		}
		if err := batch.Close(); err != nil || batch.Finish() != errClosed {
			t.Errorf("closing: %v", err)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	content := random(1<<20, 6)
	for _, size := range []int64{-1, 1 << 20} {
		batch, err := Decode(t.Context(), iotest.HalfReader(bytes.NewReader(content)), size, Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, batch, content, content, "none")
	}

	for name, test := range map[string]struct {
		r         io.Reader
		size      int64
		want      error
		transient bool
	}{
		"breaks":              {iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(content))), -1, iotest.ErrTimeout, true},
		"too short":           {bytes.NewReader(content), 1<<20 + 1, io.ErrUnexpectedEOF, true},
		"too long":            {bytes.NewReader(content), 1<<20 - 1, io.ErrUnexpectedEOF, true},
		"never says anything": {silent{}, -1, io.ErrNoProgress, true},
		"over the limit":      {bytes.NewReader(random(3<<20, 7)), -1, ErrTooLarge, false},
	} {
		batch, err := Decode(t.Context(), test.r, test.size, Options{MaxStoredBytes: 2 << 20})
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, batch)
		if !errors.Is(err, test.want) || Transient(err) != test.transient || batch.Finish() != err {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		_ = batch.Close()
	}
	if _, err := Decode(t.Context(), nil, 3<<20, Options{MaxStoredBytes: 2 << 20}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("size over the limit: %v", err)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

// The end of the caller's context is returned as it is, and at once.
func TestContext(t *testing.T) { eachWay(t, testContext) }

func testContext(t *testing.T, way func(Options) Options) {
	t.Parallel()
	for name, f := range map[string]fault{
		"in a body":    {cut: 70 << 10, stall: true},
		"in a backoff": {open: errServer},
		"of a reader":  {},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		f := New(one(random(4<<20, 8), func(int, int64) fault { return f }).open(t), way(Options{Backoff: time.Hour, IdleTimeout: time.Hour}))
		object, err := f.Locate(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := f.Open(ctx, object, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, batch); err != context.Canceled {
			t.Errorf("%s: got %v", name, err)
		}
		if err := batch.Finish(); err != context.Canceled {
			t.Errorf("%s: Finish: %v", name, err)
		}
		_ = batch.Close()
	}
}

// TestUnhashed: all but the hash is known of a batch, and what is copied is hashed nonetheless.
func TestUnhashed(t *testing.T) {
	t.Parallel()
	content := []byte("the stored bytes")
	o := Options{Unhashed: true}
	log := one(content, nil)
	decoded, err := Decode(t.Context(), bytes.NewReader(content), int64(len(content)), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = decoded.Close() })
	for _, batch := range []*Batch{fetch(t, log, o, nil), decoded} {
		if err := batch.Finish(); err != nil {
			t.Fatal(err)
		}
		want := Info{StoredBytes: int64(len(content)), Bytes: int64(len(content)), Compression: "none"}
		if info, err := batch.Info(); err != nil || info != want {
			t.Errorf("%+v, %v", info, err)
		}
	}
	f := New(log.open(t), o)
	object, err := f.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if hash, err := f.Copy(t.Context(), object, io.Discard); err != nil || hash != sum(content) {
		t.Errorf("copied with the hash %q, %v", hash, err)
	}
}
