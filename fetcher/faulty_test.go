package fetcher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// errServer is what the faulty bucket answers instead of a body or a listing.
var errServer = errors.New("500 internal server error")

// fault is what goes wrong with one request for a body.
type fault struct {
	open    error     // instead of a body
	cut     int       // the body ends after so many bytes, if end is set
	end     error     // how: io.EOF for a body that looks whole
	stall   bool      // not by ending but by saying nothing
	size    int64     // claimed in place of the true size
	content []byte    // in place of the object's
	modTime time.Time // in place of the object's
	etag    s3list.ETag
	state   string // for an Options.ETag
	restart bool   // the range is ignored
}

// faultyBucket is an in-memory log directory whose requests go wrong as a test says.
type faultyBucket struct {
	driver.Bucket // what a Fetcher has no use for, and panics

	objects map[string][]byte
	modTime time.Time
	fault   func(request int, offset int64) fault

	list     func(page int) ([]*driver.ListObject, bool, error) // in place of objects
	mu       sync.Mutex
	opened   int
	listings int
}

// open returns the bucket, and closes it when the test ends.
func (b *faultyBucket) open(t testing.TB) *blob.Bucket {
	t.Helper()
	bucket := blob.NewBucket(b)
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

func (b *faultyBucket) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened
}

func (b *faultyBucket) Close() error { return nil }

func (b *faultyBucket) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errMissing) {
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}

func (b *faultyBucket) ErrorAs(error, any) bool { return false }

var errMissing = errors.New("404 no such key")

func (b *faultyBucket) ListPaged(_ context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if err := o.BeforeList(func(any) bool { return false }); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listings++
	if b.list != nil {
		objects, more, err := b.list(b.listings)
		page := &driver.ListPage{Objects: objects}
		if more {
			page.NextPageToken = []byte(strconv.Itoa(b.listings))
		}
		return page, err
	}
	page := &driver.ListPage{}
	for key, content := range b.objects {
		if strings.HasPrefix(key, o.Prefix) {
			page.Objects = append(page.Objects, &driver.ListObject{Key: key, Size: int64(len(content)), ModTime: b.modTime})
		}
	}
	slices.SortFunc(page.Objects, func(x, y *driver.ListObject) int { return strings.Compare(x.Key, y.Key) })
	if len(page.Objects) > o.PageSize {
		page.Objects, page.NextPageToken = page.Objects[:o.PageSize], []byte("more")
	}
	return page, nil
}

func (b *faultyBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	b.mu.Lock()
	b.opened++
	request := b.opened
	b.mu.Unlock()
	var f fault
	if b.fault != nil {
		f = b.fault(request, offset)
	}
	content, ok := b.objects[key]
	switch {
	case f.open != nil:
		return nil, f.open
	case !ok:
		return nil, errMissing
	case length == 0:
		return nil, errors.New("the fetcher asks for nothing")
	}
	if f.content != nil {
		content = f.content
	}
	r := &faultyReader{ctx: ctx, fault: f, attributes: driver.ReaderAttributes{
		Size: int64(len(content)), ModTime: b.modTime,
	}}
	if f.size != 0 {
		r.attributes.Size = f.size
	}
	if !f.modTime.IsZero() {
		r.attributes.ModTime = f.modTime
	}
	if f.restart {
		offset, length = 0, -1
	}
	if offset > int64(len(content)) {
		return nil, errors.New("416 range not satisfiable")
	}
	content = content[offset:]
	if length > 0 {
		content = content[:min(length, int64(len(content)))]
	}
	if f.end != nil || f.stall {
		content = content[:min(f.cut, len(content))]
	}
	r.content = bytes.NewReader(content)
	return r, nil
}

type faultyReader struct {
	ctx        context.Context
	fault      fault
	content    *bytes.Reader
	attributes driver.ReaderAttributes
}

func (r *faultyReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.content.Read(p)
	if err == io.EOF {
		switch {
		case r.fault.stall:
			<-r.ctx.Done()
			return 0, r.ctx.Err()
		case r.fault.end != nil:
			return 0, r.fault.end
		}
	}
	return n, err
}

func (r *faultyReader) Close() error { return nil }

func (r *faultyReader) As(target any) bool {
	switch to := target.(type) {
	case *s3list.ETag:
		*to = r.fault.etag
	case *string:
		*to = r.fault.state
	default:
		return false
	}
	return true
}
func (r *faultyReader) Attributes() *driver.ReaderAttributes { return &r.attributes }
