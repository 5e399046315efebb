package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// minProgress is what a request must bring for the count of failures to start again. Without it a server that sends
// one byte a request would be asked once for every byte.
const minProgress = 64 << 10

var errStalled = errors.New("body stalled")

// download reads an object from its first byte to its last, in as many requests as it takes. Its end is io.EOF only
// after exactly as many bytes as the listing promised.
type download struct {
	ctx     context.Context
	bucket  *blob.Bucket
	object  Object
	options Options

	// body is the current request's, nil between requests; request is its context, ended by cancel or by idle.
	body    *blob.Reader
	request context.Context
	cancel  context.CancelCauseFunc
	idle    *time.Timer

	modTime  time.Time // of the first body
	etag     s3list.ETag
	offset   int64
	gained   int64 // bytes since the last failure
	failures int
	waits    backoff.ExponentialBackOff
}

func newDownload(ctx context.Context, bucket *blob.Bucket, object Object, o Options) *download {
	return &download{ctx: ctx, bucket: bucket, object: object, options: o, waits: backoff.ExponentialBackOff{
		InitialInterval: o.Backoff, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: max(o.Backoff, 10*time.Second),
	}}
}

// Read never returns 0, nil. Its errors are for good: io.EOF, the context's own, or one that names the object.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.read(p)
		switch {
		case n > 0:
			d.gained += int64(n)
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
		// However the body ends now, all bytes are here. Only one that goes on is news: the object has grown, or the
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

// open requests what is missing and checks that it is part of the same object as before. Size and time of writing are
// all that every store tells of a body. What slips through them is a proof that doesn't verify, and a second fetch from
// the start settles that.
func (d *download) open() error {
	request, cancel := context.WithCancelCause(d.ctx)
	d.request, d.cancel = request, cancel
	d.idle = time.AfterFunc(d.options.IdleTimeout, func() { cancel(errStalled) })
	body, err := d.bucket.NewRangeReader(request, d.object.Key, d.offset, -1, nil)
	if err != nil {
		return err
	}
	d.body = body
	if d.modTime.IsZero() {
		d.modTime = body.ModTime()
		body.As(&d.etag)
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

// retry decides what comes after a request has failed: nil when another may be made, else the error to give up with.
func (d *download) retry(cause error) error {
	if context.Cause(d.request) == errStalled {
		// In place of the store's own error: that is a context error, and would look like the caller's context.
		cause = fmt.Errorf("%w: nothing came for %s", errStalled, d.options.IdleTimeout)
	}
	d.close()
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if d.gained >= minProgress {
		d.failures = 0
		d.waits.Reset()
	}
	d.gained = 0
	d.failures++
	if d.failures >= d.options.MaxAttempts || isFinal(cause) {
		return fmt.Errorf("batch %s: at byte %d of %d: %w", d.object.Key, d.offset, d.object.Size, cause)
	}
	wait := time.NewTimer(d.waits.NextBackOff())
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
}

// isFinal reports whether asking again at once is pointless. A missing object is such a case though it was listed a
// moment ago; some stores call it missing when they mean forbidden.
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

// close ends the current request.
func (d *download) close() {
	if d.cancel != nil {
		d.idle.Stop()
		d.cancel(nil)
	}
	if d.body != nil {
		_ = d.body.Close() // what it has to say was said by Read
		d.body = nil
	}
}
