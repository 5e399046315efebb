package fetcher

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/resume"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// drip is a log directory of one endless object whose bodies bring so many bytes each time that
// they are read, after a pause, and break off after so many reads.
type drip struct {
	faultyBucket
	size   int64
	bytes  int
	pause  time.Duration
	reads  int  // 0: no end
	silent bool // bodies ignore their context
}

func (b *drip) NewRangeReader(ctx context.Context, _ string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	left := b.size - offset
	if length > 0 {
		left = min(left, length)
	}
	return &dripReader{drip: b, ctx: ctx, left: left}, nil
}

type dripReader struct {
	*drip
	ctx  context.Context
	done int
	left int64
}

func (r *dripReader) Read(p []byte) (int, error) {
	if r.done++; r.reads > 0 && r.done > r.reads {
		return 0, io.ErrUnexpectedEOF
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	ended := r.ctx.Done()
	if r.silent {
		ended = nil
	}
	select {
	case <-time.After(r.pause):
		n := int(min(int64(min(len(p), r.bytes)), r.left))
		clear(p[:n])
		r.left -= int64(n)
		return n, nil
	case <-ended:
		return 0, r.ctx.Err()
	}
}

func (r *dripReader) Close() error { return nil }
func (r *dripReader) As(any) bool  { return false }
func (r *dripReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size, ModTime: r.modTime}
}

// A source that brings too little ends its transfer, whatever it does to look alive, and in a time
// that is bounded by the object's size. The times are those of synctest's clock.
func TestHostileDrip(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(Options) Options) {
		testHostileDrip(t, func(o Options) Options {
			o = way(o)
			o.rangeSize = 0 // as large as they are, so that together they are no faster
			return o
		})
	})
}

func testHostileDrip(t *testing.T, way func(Options) Options) {
	t.Parallel()
	for name, test := range map[string]struct {
		drip    *drip
		options Options
		within  time.Duration
		done    bool // all the same
	}{
		"a byte every ten seconds":      {drip: &drip{size: 2 << 30, bytes: 1, pause: 10 * time.Second}, within: 41 * time.Second},
		"nothing at all":                {drip: &drip{size: 2 << 30, pause: time.Hour, bytes: 1}, within: 41 * time.Second},
		"nothing of a small object":     {drip: &drip{size: 5 << 10, pause: time.Hour, bytes: 1}, within: 41 * time.Second},
		"a small object byte by byte":   {drip: &drip{size: 5 << 10, pause: time.Second, bytes: 1}, within: 41 * time.Second},
		"deaf to its context":           {drip: &drip{size: 2 << 30, bytes: 1, pause: 10 * time.Second, silent: true}, within: 51 * time.Second},
		"just enough to be asked again": {drip: &drip{size: 2 << 30, bytes: resume.MinProgress, pause: 20 * time.Second, reads: 1}, within: time.Minute},
		"much and then a drip": {
			drip: &drip{size: 2 << 30, bytes: 200 << 10, pause: 20 * time.Second}, within: 110 * time.Second,
		},
		"slow, and fast enough": {drip: &drip{size: 10 << 20, bytes: 20 << 10, pause: time.Second}, within: 11 * time.Minute, done: true},
		"slow, with other limits": {
			drip: &drip{size: 1000, bytes: 10, pause: 10 * time.Second}, options: Options{MinRate: 1}, within: 20 * time.Minute, done: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bucket := blob.NewBucket(test.drip)
				defer bucket.Close()
				began := time.Now()
				batch, err := New(bucket, way(test.options)).Open(t.Context(), Object{Key: key(1, digestA, digestB), Size: test.drip.size}, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer batch.Close()
				_, err = io.Copy(io.Discard, batch)
				took := time.Since(began)
				if took > test.within {
					t.Errorf("ended after %s, want %s at most", took, test.within)
				}
				if test.done {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, patience.ErrSlow) || !Transient(err) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), key(1, digestA, digestB)) {
					t.Errorf("got %v, want that it is too slow", err)
				}
			})
		})
	}
}

// However fast a source was before: what it brings now counts.
func TestHostileStandstill(t *testing.T) { eachWay(t, testHostileStandstill) }

func testHostileStandstill(t *testing.T, way func(Options) Options) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := one(random(8<<20, 30), func(_ int, offset int64) fault {
			if way(Options{}).Ranges > 0 && offset < 7<<20 {
				return fault{}
			}
			return fault{cut: max(7<<20-int(offset), 0), stall: true}
		})
		bucket := blob.NewBucket(b)
		defer bucket.Close()
		began := time.Now()
		batch, err := New(bucket, way(Options{MaxAttempts: 100})).Open(t.Context(), Object{Key: key(1, digestA, digestB), Size: 8 << 20}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer batch.Close()
		if _, err := io.Copy(io.Discard, batch); !errors.Is(err, patience.ErrSlow) && !errors.Is(err, errStalled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("ended after %s", took)
		}
	})
}

// A verifier that takes its time, as one that waits for memory, is not the source's fault.
func TestSlowReader(t *testing.T) { eachWay(t, testSlowReader) }

func testSlowReader(t *testing.T, way func(Options) Options) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := random(8<<20, 31)
		bucket := blob.NewBucket(one(content, nil))
		defer bucket.Close()
		batch, err := New(bucket, way(Options{})).Open(t.Context(), Object{Key: key(1, digestA, digestB), Size: 8 << 20}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer batch.Close()
		for range 4 {
			time.Sleep(time.Hour)
			if _, err := io.CopyN(io.Discard, batch, 2<<20); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Finish(); err != nil {
			t.Error(err)
		}
	})
}

// hanging is a log directory that never ends to answer a listing.
type hanging struct{ faultyBucket }

func (b *hanging) ListPaged(ctx context.Context, _ *driver.ListOptions) (*driver.ListPage, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A listing that hangs is a fault after a minute, and does not pass for the caller's own end.
func TestHostileHangingList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bucket := blob.NewBucket(&hanging{})
		defer bucket.Close()
		began := time.Now()
		_, err := New(bucket, Options{}).Locate(t.Context(), 1)
		if !errors.Is(err, patience.ErrSlow) || errors.Is(err, context.DeadlineExceeded) || !Transient(err) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
	})
}
