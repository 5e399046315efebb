package fetcher

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/patience"
	"gocloud.dev/blob"
)

// grace is how long a transfer may take to begin, and what a small object costs that never comes.
// It has room for the longest pause that a host may ask for, or for one request that stalled, and
// for another one.
const grace = 40 * time.Second

// download reads an object from its first byte to its last, in one part or in several at once. It
// ends in io.EOF only after exactly as many bytes as the listing promised.
type download struct {
	*transfer
	source io.ReadCloser
}

// newDownload begins nothing until the first Read. Turns are those of the log directory.
func newDownload(ctx context.Context, bucket *blob.Bucket, object Object, o Options, turns chan struct{}) *download {
	t := &transfer{bucket: bucket, object: object, options: o}
	t.ctx, t.patience = patience.New(ctx, patience.Limits{Grace: grace, MinRate: o.MinRate})
	d := &download{transfer: t}
	if o.readAhead(object.Size) > 0 {
		d.source = newRanges(t, turns)
	} else {
		d.source = newPart(t.ctx, t, 0, object.Size)
	}
	return d
}

// Read never returns 0, nil. Its errors are final: io.EOF, the context's own, or one that names the
// object.
func (d *download) Read(p []byte) (n int, err error) {
	d.patience.Start()
	defer func() {
		d.patience.Stop()
		d.patience.Earn(n)
	}()
	return d.source.Read(p)
}

// end ends the download.
func (d *download) end() {
	d.patience.Close()
	_ = d.source.Close() // Read has reported its errors
}

// transfer is what all requests for an object have in common.
type transfer struct {
	ctx     context.Context // ended by patience, too
	bucket  *blob.Bucket
	object  Object
	options Options
	// patience lasts for the whole object, and counts only while a Read waits: not while the
	// verifier keeps the source waiting
	patience *patience.Patience

	mu      sync.Mutex
	begun   bool      // there was a body, which set the fields below
	modTime time.Time // of it
	etag    s3list.ETag
	state   s3list.ETag // by Options.ETag
}

// accept checks that a body is of the same object as those before. Size and time of writing are all
// that every store says of a body. A change that nothing shows gives a proof that does not verify;
// the caller then fetches it again from the start.
func (t *transfer) accept(body *blob.Reader) error {
	var etag, state s3list.ETag
	body.As(&etag)
	etag = shortETag(etag)
	if t.options.ETag != nil {
		state = shortETag(s3list.ETag(t.options.ETag(body)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun {
		t.begun, t.modTime, t.etag, t.state = true, body.ModTime(), etag, state
	}
	switch {
	case body.Size() > 0 && body.Size() != t.object.Size: // 0: the server didn't say
		return fmt.Errorf("it has %d bytes, %d when it was listed: %w", body.Size(), t.object.Size, ErrChanged)
	case !body.ModTime().Equal(t.modTime):
		return fmt.Errorf("it was written again at %s: %w", body.ModTime().UTC().Format(time.RFC3339), ErrChanged)
	case etag != t.etag, state != t.state:
		return fmt.Errorf("it was %q and is %q: %w", t.etag+t.state, etag+state, ErrChanged)
	}
	return nil
}

// stale returns ErrChanged if the body was of another state of the object than the listing.
func (t *transfer) stale() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.etag == "" || t.object.ETag == "" || t.etag == t.object.ETag {
		return nil
	}
	return fmt.Errorf("batch %s: listed as %q and served as %q: %w", t.object.Key, t.object.ETag, t.etag, ErrChanged)
}

// ended returns what ended a context made from the transfer's: that of the caller, or a source that
// is too slow.
func (t *transfer) ended(ctx context.Context, offset int64) error {
	if err := t.patience.Exceeded(ctx); err != nil {
		return t.failed(offset, err)
	}
	return ctx.Err()
}

// failed names the object in an error.
func (t *transfer) failed(offset int64, err error) error {
	return fmt.Errorf("batch %s: at byte %d of %d: %w", t.object.Key, offset, t.object.Size, err)
}
