package jobstest

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

// FaultyReads makes reads of a bucket go wrong.
type FaultyReads struct {
	mu         sync.Mutex
	Seed       *rand.Rand
	Share      float64 // of requests that fail, or whose body breaks off
	Damage     float64 // of bodies with one byte changed
	BeforeOpen func()  // called before a body is opened
	AfterOpen  func()  // called once, after the first body was opened
	Closed     func()  // called when a body is closed
}

func (f *FaultyReads) chance(share float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Seed.Float64() < share
}

var ErrFault = errors.New("503 slow down")

// Over returns a bucket that reads from b, faults included.
func (f *FaultyReads) Over(t testing.TB, b *blob.Bucket) *blob.Bucket {
	t.Helper()
	faulty := blob.NewBucket(&FaultyBucket{Faults: f, B: b})
	t.Cleanup(func() { _ = faulty.Close() })
	return faulty
}

type FaultyBucket struct {
	driver.Bucket // what is only read has no use for it
	Faults        *FaultyReads
	B             *blob.Bucket
}

func (f *FaultyBucket) As(any) bool                            { return false }
func (f *FaultyBucket) Close() error                           { return nil }
func (f *FaultyBucket) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (f *FaultyBucket) ErrorAs(error, any) bool                { return false }

func (f *FaultyBucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if f.Faults.chance(f.Faults.Share) {
		return nil, ErrFault
	}
	page := &driver.ListPage{}
	for objects := f.B.List(&blob.ListOptions{Prefix: o.Prefix}); ; {
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

func (f *FaultyBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if f.Faults.chance(f.Faults.Share) {
		return nil, ErrFault
	}
	if f.Faults.BeforeOpen != nil {
		f.Faults.BeforeOpen()
	}
	data, err := f.B.ReadAll(ctx, key)
	if err != nil {
		return nil, err
	}
	r := &faultyReader{size: int64(len(data)), end: io.EOF, closed: f.Faults.Closed}
	if f.Faults.AfterOpen != nil {
		f.Faults.AfterOpen()
		f.Faults.AfterOpen = nil
	}
	if len(data) > 0 && f.Faults.chance(f.Faults.Damage) {
		f.Faults.mu.Lock()
		data[f.Faults.Seed.IntN(len(data))] ^= byte(1 + f.Faults.Seed.IntN(255))
		f.Faults.mu.Unlock()
	}
	data = data[min(offset, int64(len(data))):]
	if f.Faults.chance(f.Faults.Share) {
		f.Faults.mu.Lock()
		data, r.end = data[:f.Faults.Seed.IntN(len(data)+1)], []error{ErrFault, io.ErrUnexpectedEOF}[f.Faults.Seed.IntN(2)]
		f.Faults.mu.Unlock()
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
