package fetcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"golang.org/x/sync/errgroup"
)

const testRange = 64 << 10 // of inRanges

// watched is a log directory that knows which bodies are open, and how much they have brought.
type watched struct {
	*faultyBucket
	before func(offset int64) // each body's first Read
	ended  func(offset int64) // each body's io.EOF

	mu                sync.Mutex
	open, most, total int
	brought           int64
}

func (w *watched) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	r, err := w.faultyBucket.NewRangeReader(ctx, key, offset, length, o)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	w.total++
	w.most = max(w.most, w.open)
	return &watchedReader{Reader: r, w: w, offset: offset}, nil
}

// state is how many bodies are open, were open at once at most, and have been opened, and what they
// have brought.
func (w *watched) state() (open, most, total int, brought int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open, w.most, w.total, w.brought
}

type watchedReader struct {
	driver.Reader
	w      *watched
	offset int64
	begun  bool
}

func (r *watchedReader) Read(p []byte) (int, error) {
	if !r.begun && r.w.before != nil {
		r.w.before(r.offset)
	}
	r.begun = true
	n, err := r.Reader.Read(p)
	r.w.mu.Lock()
	r.w.brought += int64(n)
	r.w.mu.Unlock()
	if err == io.EOF && r.w.ended != nil {
		r.w.ended(r.offset)
	}
	return n, err
}

func (r *watchedReader) Close() error {
	r.w.mu.Lock()
	r.w.open--
	r.w.mu.Unlock()
	return r.Reader.Close()
}

// reader reads the object of a watched log directory without a batch around it.
func (w *watched) reader(t *testing.T, o Options, turns chan struct{}) *download {
	t.Helper()
	object := Object{Key: key(1, digestA, digestB), Size: int64(len(w.objects[key(1, digestA, digestB)]))}
	d := newDownload(t.Context(), blob.NewBucket(w), object, inRanges(o).withDefaults(), turns)
	t.Cleanup(d.end)
	return d
}

// Parts that come in the opposite order are read in the right one. There are never more than four
// at once.
func TestRangesInOrder(t *testing.T) {
	t.Parallel()
	content := random(10*testRange+1, 40)
	done := make([]chan struct{}, 11)
	for i := range done {
		done[i] = make(chan struct{})
	}
	w := &watched{
		faultyBucket: one(content, nil),
		before: func(offset int64) {
			if i := offset / testRange; i%4 != 3 && i < 10 { // the last of each four does not wait
				<-done[i+1]
			}
		},
		ended: func(offset int64) { close(done[offset/testRange]) },
	}
	got, err := io.ReadAll(w.reader(t, Options{}, make(chan struct{}, maxTurns)))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if open, most, total, _ := w.state(); open != 0 || most > 4 || total != 11 {
		t.Errorf("%d of %d bodies are open, at most %d were", open, total, most)
	}
}

// What nobody reads is held for four parts, and no more of it is requested.
func TestRangesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{faultyBucket: one(random(10*testRange, 41), nil)}
		d := w.reader(t, Options{}, make(chan struct{}, maxTurns))
		for _, step := range []struct{ read, parts int }{{1, 4}, {testRange - 2, 4}, {1, 4}, {1, 5}, {3*testRange - 1, 7}, {1, 8}, {5*testRange + 1, 10}} {
			if _, err := io.ReadFull(d, make([]byte, step.read)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if open, _, total, brought := w.state(); open != 0 || total != step.parts || brought != int64(step.parts)*testRange {
				t.Errorf("after %d bytes more: %d of %d bodies are open and have brought %d parts and %d bytes", step.read, open, total, brought/testRange, brought%testRange)
			}
		}
	})
}

// However many batches of a log directory there are, each has a request, and those for parts ahead
// wait for a turn.
func TestRangesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := random(10*testRange, 42)
		gate := make(chan struct{})
		w := &watched{faultyBucket: one(content, nil), before: func(int64) { <-gate }}
		turns := make(chan struct{}, 5)
		var group errgroup.Group
		for range 4 {
			d := w.reader(t, Options{}, turns)
			group.Go(func() error {
				got, err := io.ReadAll(d)
				if err == nil && !bytes.Equal(got, content) {
					err = fmt.Errorf("%d bytes", len(got))
				}
				return err
			})
		}
		synctest.Wait()
		if open, _, _, _ := w.state(); open != 4+5 {
			t.Errorf("%d requests at once", open)
		}
		close(gate)
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		if _, most, total, _ := w.state(); most != 4+5 || total != 4*10 || len(turns) != 0 {
			t.Errorf("at most %d of %d requests at once, %d turns are still taken", most, total, len(turns))
		}
	})
}

// An object that is not large, or that is only copied, is fetched with one request.
func TestOneRequest(t *testing.T) {
	t.Parallel()
	b := one(random(2*testRange, 43), nil)
	wantWhole(t, fetch(t, b, inRanges(Options{}), nil), b.objects[key(1, digestA, digestB)], b.objects[key(1, digestA, digestB)], "none")
	b.objects[key(1, digestA, digestB)] = random(5*testRange, 43)
	f := New(b.open(t), inRanges(Options{}))
	object, err := f.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Copy(t.Context(), object, io.Discard); err != nil {
		t.Error(err)
	}
	if b.requests() != 2 {
		t.Errorf("%d requests", b.requests())
	}
}

// A server that ignores ranges sends all of the object to the first request, which is read to its
// end; the others are given up.
func TestRangesIgnored(t *testing.T) {
	t.Parallel()
	content := random(9*testRange+1, 44)
	w := &watched{faultyBucket: one(content, func(int, int64) fault { return fault{restart: true} })}
	d := w.reader(t, Options{}, make(chan struct{}, maxTurns))
	got, err := io.ReadAll(d)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	d.end()
	if open, _, total, _ := w.state(); open != 0 || total > 4 {
		t.Errorf("%d of %d bodies are open", open, total)
	}
}

// stateOf is an Options.ETag.
func stateOf(r *blob.Reader) (state string) {
	r.As(&state)
	return state
}

// What is wrong with one part is wrong with the object.
func TestHostileRanges(t *testing.T) {
	t.Parallel()
	content := random(9*testRange, 45)
	other := random(9*testRange, 46)
	for name, test := range map[string]struct {
		fault   fault
		options Options
		want    error
	}{
		"of an object written later": {fault{modTime: time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)}, Options{}, ErrChanged},
		"of another ETag":            {fault{etag: "b"}, Options{}, ErrChanged},
		"of a longer object":         {fault{content: append(bytes.Clone(content), 0)}, Options{}, ErrChanged},
		"of a shorter object":        {fault{content: content[:9*testRange-1]}, Options{}, ErrChanged},
		"of another state":           {fault{state: "b"}, Options{ETag: stateOf}, ErrChanged},
		"of all of the object":       {fault{restart: true}, Options{}, ErrChanged},
		"too long":                   {fault{restart: true, content: content[3*testRange:], size: 9 * testRange}, Options{}, ErrChanged},
		"endless, of other bytes":    {fault{restart: true, content: other, size: 9 * testRange}, Options{}, ErrChanged},
		"too short":                  {fault{cut: 10, end: io.EOF}, Options{}, io.ErrUnexpectedEOF},
		"refused":                    {fault{open: errServer}, Options{}, errServer},
		"missing":                    {fault{open: errMissing}, Options{}, errMissing},
		"stalled":                    {fault{cut: 10, stall: true}, Options{IdleTimeout: time.Millisecond}, errStalled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, bad := range []int64{1, 3, 5, 8} {
				b := one(content, func(_ int, offset int64) fault {
					if offset/testRange == bad {
						return test.fault
					}
					return fault{}
				})
				o := test.options
				o.Backoff, o.MaxAttempts = time.Microsecond, 3
				var archive bytes.Buffer
				batch := fetch(t, b, inRanges(o), &archive)
				_, err := io.Copy(io.Discard, batch)
				if !errors.Is(err, test.want) || !Transient(err) || !strings.Contains(err.Error(), key(1, digestA, digestB)) {
					t.Errorf("part %d: got %v, want %v", bad, err, test.want)
				}
				if finish := batch.Finish(); finish != err {
					t.Errorf("part %d: Finish gave %v", bad, finish)
				}
				if _, err := batch.Info(); err == nil {
					t.Errorf("part %d: there is Info of half a batch", bad)
				}
				_ = batch.Close()
				if n := b.requests(); n > 9+3 {
					t.Errorf("part %d: %d requests", bad, n)
				}
			}
		})
	}
}

type panickingBucket struct{ *faultyBucket }

func (panickingBucket) NewRangeReader(context.Context, string, int64, int64, *driver.ReaderOptions) (driver.Reader, error) {
	panic("a bug")
}

// A panic on a part's goroutine is an error and no rejection.
func TestPanicInRange(t *testing.T) {
	t.Parallel()
	f := New(blob.NewBucket(panickingBucket{one(nil, nil)}), inRanges(Options{}))
	batch, err := f.Open(t.Context(), Object{Key: key(1, digestA, digestB), Size: 9 * testRange}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if _, err := io.ReadAll(batch); err == nil || !Transient(err) || !strings.Contains(err.Error(), "panic: a bug") {
		t.Errorf("got %v", err)
	}
}

// Parts of a public log's batch wait for their turns at the rate of its host, and that is not held
// against the host.
func TestRangesAtARate(t *testing.T) {
	t.Parallel()
	log := memblob.OpenBucket(nil)
	defer log.Close()
	content := random(9*testRange, 47)
	if err := log.WriteAll(t.Context(), key(1, digestA, digestB), content, nil); err != nil {
		t.Fatal(err)
	}
	server := s3listtest.New(t, log)
	bucket := openBucket(t, server.BucketURL()+"?rate=5")
	f := New(bucket, inRanges(Options{IdleTimeout: 2 * time.Second, MaxAttempts: 1}))
	var group errgroup.Group
	for range 3 {
		group.Go(func() error {
			batch, err := f.Open(t.Context(), Object{Key: key(1, digestA, digestB), Size: int64(len(content))}, nil)
			if err != nil {
				return err
			}
			defer batch.Close()
			got, err := io.ReadAll(batch)
			if err == nil && !bytes.Equal(got, content) {
				err = fmt.Errorf("%d bytes", len(got))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(server.Requests()); n != 3*9 {
		t.Errorf("%d requests", n)
	}
}
