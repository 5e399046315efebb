package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/resume"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

var errStalled = errors.New("body stalled")

// part reads an object from one byte to another, in as many requests as it takes. It ends in io.EOF
// only after exactly so many bytes. One goroutine at a time may use it.
type part struct {
	*transfer
	ctx         context.Context
	offset, end int64

	// body is the current request's, which asked for the bytes since from; nil between requests.
	// Request is its context, ended by cancel or by idle.
	body    *blob.Reader
	from    int64
	request context.Context
	cancel  context.CancelCauseFunc
	idle    *time.Timer

	failures *resume.Body
	beyond   []byte // what body has brought after end, if the server ignores ranges
}

// newPart is for the bytes from offset to end, which is not included. Its context is made from the
// transfer's.
func newPart(ctx context.Context, t *transfer, offset, end int64) *part {
	return &part{transfer: t, ctx: ctx, offset: offset, end: end, failures: resume.NewBody(t.options.MaxAttempts, t.options.Backoff)}
}

// Read never returns 0, nil. Its errors are final, but for errUnranged: io.EOF, the context's own,
// or one that names the object.
func (d *part) Read(p []byte) (n int, err error) {
	for {
		if d.ctx.Err() != nil { // also between reads: bodies on local disks ignore their context
			return 0, d.ended(d.ctx, d.offset)
		}
		n, err := d.read(p)
		switch {
		case n > 0:
			d.failures.Received(n)
			return n, nil
		case err == io.EOF, err == errUnranged:
			return 0, err
		case err == nil && d.request.Err() == nil:
			continue
		}
		if err := d.retry(err); err != nil {
			return 0, err
		}
	}
}

// read reads once from the current body, or from a new one.
func (d *part) read(p []byte) (int, error) {
	if d.body == nil {
		if err := d.open(); err != nil {
			return 0, err
		}
	}
	d.idle.Reset(d.options.IdleTimeout)
	defer d.idle.Stop()
	left := d.end - d.offset
	if left == 0 {
		return 0, d.finish()
	}
	if len(d.beyond) > 0 {
		n := copy(p, d.beyond)
		d.beyond = d.beyond[n:]
		d.offset += int64(n)
		return n, nil
	}
	n, err := d.body.Read(p[:min(int64(len(p)), left)])
	d.offset += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// finish sees to the body's end. All bytes are here, however it ends. If it goes on, the object has
// grown, or the server ignored where the body was to begin or to end.
func (d *part) finish() error {
	next := make([]byte, 1)
	n, _ := d.body.Read(next)
	switch {
	case n == 0:
		return io.EOF
	case d.from == 0 && d.end < d.object.Size:
		d.beyond = next
		return errUnranged
	}
	return fmt.Errorf("it goes on after %d bytes: %w", d.offset, ErrChanged)
}

// open requests what is missing and checks that it is part of the same object as before.
func (d *part) open() error {
	request, cancel := context.WithCancelCause(d.ctx)
	d.request, d.cancel = request, cancel
	idle := time.AfterFunc(d.options.IdleTimeout, func() { cancel(errStalled) })
	d.idle = idle
	request = patience.Pausable(request, func() func() {
		idle.Stop()
		return func() { idle.Reset(d.options.IdleTimeout) }
	})
	length := int64(-1) // what has grown is noticed by a body that goes on
	if d.end < d.object.Size {
		length = d.end - d.offset
	}
	body, err := d.bucket.NewRangeReader(request, d.object.Key, d.offset, length, nil)
	if err != nil {
		return err
	}
	d.body, d.from = body, d.offset
	return d.accept(body)
}

// retry waits until a failed request may be made again. Its error is the one to give up with.
func (d *part) retry(cause error) error {
	if context.Cause(d.request) == errStalled {
		// In place of the store's own error, which is a context error and would pass for the
		// caller's.
		cause = fmt.Errorf("%w: nothing came for %s", errStalled, d.options.IdleTimeout)
	}
	_ = d.Close()
	if d.ctx.Err() != nil {
		return d.ended(d.ctx, d.offset)
	}
	if again := d.failures.Failed(); !again || isFinal(cause) {
		return d.failed(d.offset, cleaned(cause))
	}
	if d.failures.Wait(d.ctx) != nil {
		return d.ended(d.ctx, d.offset)
	}
	return nil
}

// isFinal reports whether asking again at once is pointless. A missing object is such a case though
// it was just listed; some stores say missing and mean forbidden.
func isFinal(err error) bool {
	final := []gcerrors.ErrorCode{gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument, gcerrors.Unimplemented}
	return errors.Is(err, ErrChanged) || slices.Contains(final, gcerrors.Code(err))
}

// Close ends the current request.
func (d *part) Close() error {
	if d.cancel != nil {
		d.idle.Stop()
		d.cancel(nil)
	}
	if d.body != nil {
		_ = d.body.Close() // Read has reported its errors
		d.body = nil
	}
	return nil
}
