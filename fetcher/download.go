package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/resume"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// grace is how long a transfer may take to begin, and what a small object costs that never comes.
// It has room for the longest pause that a host may ask for, or for one request that stalled, and
// for another one.
const grace = 40 * time.Second

var errStalled = errors.New("body stalled")

// download reads an object from its first byte to its last, in as many requests as it takes. It
// ends in io.EOF only after exactly as many bytes as the listing promised.
type download struct {
	ctx     context.Context // ended by patience, too
	bucket  *blob.Bucket
	object  Object
	options Options
	// patience lasts for the whole object, and counts only while a Read waits: not while the
	// verifier keeps the source waiting
	patience *patience.Patience

	// body is the current request's, nil between requests; request is its context, ended by cancel
	// or by idle.
	body    *blob.Reader
	request context.Context
	cancel  context.CancelCauseFunc
	idle    *time.Timer

	modTime  time.Time   // of the first body
	etag     s3list.ETag // likewise
	offset   int64
	failures *resume.Body
}

func newDownload(ctx context.Context, bucket *blob.Bucket, object Object, o Options) *download {
	ctx, p := patience.New(ctx, patience.Limits{Grace: grace, MinRate: o.MinRate})
	return &download{
		ctx: ctx, bucket: bucket, object: object, options: o, patience: p,
		failures: resume.NewBody(o.MaxAttempts, o.Backoff),
	}
}

// Read never returns 0, nil. Its errors are final: io.EOF, the context's own, or one that names the
// object.
func (d *download) Read(p []byte) (n int, err error) {
	d.patience.Start()
	defer func() {
		d.patience.Stop()
		d.patience.Earn(n)
	}()
	for {
		if d.ctx.Err() != nil { // also between reads: bodies on local disks ignore their context
			return 0, d.ended()
		}
		n, err := d.read(p)
		switch {
		case n > 0:
			d.failures.Received(n)
			return n, nil
		case err == io.EOF:
			return 0, io.EOF
		case err == nil && d.request.Err() == nil:
			continue
		}
		if err := d.retry(err); err != nil {
			return 0, err
		}
	}
}

// read reads once from the current body, or from a new one.
func (d *download) read(p []byte) (int, error) {
	if d.body == nil {
		if err := d.open(); err != nil {
			return 0, err
		}
	}
	d.idle.Reset(d.options.IdleTimeout)
	defer d.idle.Stop()
	left := d.object.Size - d.offset
	if left == 0 {
		// All bytes are here, however the body ends. If it goes on, the object has grown, or the
		// server ignored where a resumed body was to begin.
		if n, _ := d.body.Read(make([]byte, 1)); n > 0 {
			return 0, fmt.Errorf("it goes on after %d bytes: %w", d.offset, ErrChanged)
		}
		return 0, io.EOF
	}
	n, err := d.body.Read(p[:min(int64(len(p)), left)])
	d.offset += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// open requests what is missing and checks that it is part of the same object as before. Size and
// time of writing are all that every store says of a body. A change that they do not show gives a
// proof that does not verify; the caller then fetches it again from the start.
func (d *download) open() error {
	request, cancel := context.WithCancelCause(d.ctx)
	d.request, d.cancel = request, cancel
	idle := time.AfterFunc(d.options.IdleTimeout, func() { cancel(errStalled) })
	d.idle = idle
	request = patience.Pausable(request, func() func() {
		idle.Stop()
		return func() { idle.Reset(d.options.IdleTimeout) }
	})
	body, err := d.bucket.NewRangeReader(request, d.object.Key, d.offset, -1, nil)
	if err != nil {
		return err
	}
	d.body = body
	if d.modTime.IsZero() {
		d.modTime = body.ModTime()
		body.As(&d.etag)
		d.etag = shortETag(d.etag)
	}
	switch {
	case body.Size() > 0 && body.Size() != d.object.Size: // 0: the server didn't say
		return fmt.Errorf("it has %d bytes, %d when it was listed: %w", body.Size(), d.object.Size, ErrChanged)
	case !body.ModTime().Equal(d.modTime):
		return fmt.Errorf("it was written again at %s: %w", body.ModTime().UTC().Format(time.RFC3339), ErrChanged)
	}
	return nil
}

// stale returns ErrChanged if the body was of another state of the object than the listing.
func (d *download) stale() error {
	if d.etag == "" || d.object.ETag == "" || d.etag == d.object.ETag {
		return nil
	}
	return fmt.Errorf("batch %s: listed as %q and served as %q: %w", d.object.Key, d.object.ETag, d.etag, ErrChanged)
}

// retry waits until a failed request may be made again. Its error is the one to give up with.
func (d *download) retry(cause error) error {
	if context.Cause(d.request) == errStalled {
		// In place of the store's own error, which is a context error and would pass for the
		// caller's.
		cause = fmt.Errorf("%w: nothing came for %s", errStalled, d.options.IdleTimeout)
	}
	d.close()
	if d.ctx.Err() != nil {
		return d.ended()
	}
	if again := d.failures.Failed(); !again || isFinal(cause) {
		return fmt.Errorf("batch %s: at byte %d of %d: %w", d.object.Key, d.offset, d.object.Size, cleaned(cause))
	}
	if d.failures.Wait(d.ctx) != nil {
		return d.ended()
	}
	return nil
}

// ended returns what ended the whole download: the caller's context, or a source that is too slow.
func (d *download) ended() error {
	if err := d.patience.Exceeded(d.ctx); err != nil {
		return fmt.Errorf("batch %s: at byte %d of %d: %w", d.object.Key, d.offset, d.object.Size, err)
	}
	return d.ctx.Err()
}

// isFinal reports whether asking again at once is pointless. A missing object is such a case though
// it was just listed; some stores say missing and mean forbidden.
func isFinal(err error) bool {
	if errors.Is(err, ErrChanged) {
		return true
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return true
	}
	return false
}

// end ends the download.
func (d *download) end() {
	d.close()
	d.patience.Close()
}

// close ends the current request.
func (d *download) close() {
	if d.cancel != nil {
		d.idle.Stop()
		d.cancel(nil)
	}
	if d.body != nil {
		_ = d.body.Close() // Read has reported its errors
		d.body = nil
	}
}
