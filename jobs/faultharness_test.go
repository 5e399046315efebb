package jobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// faultyReads makes reads of a bucket go wrong.
type faultyReads struct {
	mu         sync.Mutex
	seed       *rand.Rand
	share      float64 // of requests that fail, or whose body breaks off
	damage     float64 // of bodies with one byte changed
	beforeOpen func()  // called before a body is opened
	afterOpen  func()  // called once, after the first body was opened
	closed     func()  // called when a body is closed
}

func (f *faultyReads) chance(share float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seed.Float64() < share
}

var errFault = errors.New("503 slow down")

// over returns a bucket that reads from b, faults included.
func (f *faultyReads) over(t testing.TB, b *blob.Bucket) *blob.Bucket {
	t.Helper()
	faulty := blob.NewBucket(&faultyBucket{faults: f, b: b})
	t.Cleanup(func() { _ = faulty.Close() })
	return faulty
}

type faultyBucket struct {
	driver.Bucket // what is only read has no use for it
	faults        *faultyReads
	b             *blob.Bucket
}

func (f *faultyBucket) As(any) bool                            { return false }
func (f *faultyBucket) Close() error                           { return nil }
func (f *faultyBucket) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (f *faultyBucket) ErrorAs(error, any) bool                { return false }

func (f *faultyBucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if f.faults.chance(f.faults.share) {
		return nil, errFault
	}
	page := &driver.ListPage{}
	for objects := f.b.List(&blob.ListOptions{Prefix: o.Prefix}); ; {
		object, err := objects.Next(ctx)
		if err == io.EOF {
			slices.SortFunc(page.Objects, func(x, y *driver.ListObject) int { return strings.Compare(x.Key, y.Key) })
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: object.Key, Size: object.Size, ModTime: object.ModTime})
	}
}

func (f *faultyBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if f.faults.chance(f.faults.share) {
		return nil, errFault
	}
	if f.faults.beforeOpen != nil {
		f.faults.beforeOpen()
	}
	data, err := f.b.ReadAll(ctx, key)
	if err != nil {
		return nil, err
	}
	r := &faultyReader{size: int64(len(data)), end: io.EOF, closed: f.faults.closed}
	if f.faults.afterOpen != nil {
		f.faults.afterOpen()
		f.faults.afterOpen = nil
	}
	if len(data) > 0 && f.faults.chance(f.faults.damage) {
		f.faults.mu.Lock()
		data[f.faults.seed.IntN(len(data))] ^= byte(1 + f.faults.seed.IntN(255))
		f.faults.mu.Unlock()
	}
	data = data[min(offset, int64(len(data))):]
	if f.faults.chance(f.faults.share) {
		f.faults.mu.Lock()
		data, r.end = data[:f.faults.seed.IntN(len(data)+1)], []error{errFault, io.ErrUnexpectedEOF}[f.faults.seed.IntN(2)]
		f.faults.mu.Unlock()
	}
	r.Reader = *bytes.NewReader(data)
	return r, nil
}

type faultyReader struct {
	bytes.Reader
	size   int64
	end    error
	closed func()
}

func (r *faultyReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.end
	}
	return n, err
}

func (r *faultyReader) Close() error {
	if r.closed != nil {
		r.closed()
	}
	return nil
}

func (r *faultyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size}
}
func (r *faultyReader) As(any) bool { return false }
