package s3list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/resume"
	"gocloud.dev/blob/driver"
)

// NewRangeReader starts to read an object. Its body ends in io.EOF only after all bytes of the
// range. A body that breaks off is resumed where it broke, if the object is still the same.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if key == "" {
		return nil, annotate(&Error{Err: errKey}, "read", key)
	}
	if o.BeforeRead != nil {
		if err := o.BeforeRead(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	ctx, p := patience.New(ctx, b.client.options.limits(0))
	r := &reader{
		ctx: ctx, patience: p, client: b.client, key: key, offset: offset, length: length,
		failures: resume.NewBody(b.client.options.Attempts, b.client.options.Backoff),
	}
	p.Start()
	defer p.Stop()
	err := errRange
	if length != 0 { // HTTP has no range of no bytes
		_, err = retry(ctx, b.client.options, func() (struct{}, error) { return struct{}{}, r.open() })
	}
	if errors.Is(err, errRange) {
		err = r.openEmpty(b)
	}
	if err != nil {
		defer p.Close()
		return nil, r.explain(err)
	}
	return r, nil
}

// reader is a range of an object.
type reader struct {
	ctx      context.Context // ended by patience, too
	patience *patience.Patience
	client   *client
	key      string
	length   int64 // as asked for; negative is to the object's end

	offset     int64
	answered   bool // there was a first answer; it set the fields below
	attributes driver.ReaderAttributes
	version    version
	end        int64

	body     *exchange // nil between requests
	failures *resume.Body
	closed   bool
}

// Read never returns 0, nil but for an empty p.
func (r *reader) Read(p []byte) (int, error) {
	r.patience.Start()
	defer r.patience.Stop()
	for {
		if r.closed {
			return 0, os.ErrClosed
		}
		if r.offset == r.end {
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.body == nil {
			if _, err := retry(r.ctx, r.client.options, func() (struct{}, error) { return struct{}{}, r.open() }); err != nil {
				return 0, r.explain(err)
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.offset)])
		r.offset += int64(n)
		r.failures.Received(n)
		if err != nil || r.offset == r.end {
			r.closeBody()
		}
		if n > 0 {
			return n, nil
		}
		if err != nil {
			if err := r.failed(err); err != nil {
				return 0, r.explain(err)
			}
		}
	}
}

// explain is an error of the whole operation.
func (r *reader) explain(err error) error {
	return annotate(explain(r.ctx, r.patience, err), "read", r.key)
}

// failed waits until a body that broke may be resumed. Its error is the one to give up with.
func (r *reader) failed(err error) error {
	if err == io.EOF {
		err = broken(io.ErrUnexpectedEOF)
	}
	again := r.failures.Failed()
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.transient {
		return err
	}
	if !again {
		return &Error{Err: fmt.Errorf("body broke off at byte %d of %d: %w", r.offset, r.attributes.Size, e.Err)}
	}
	return r.failures.Wait(r.ctx)
}

// open makes one request for what is still missing.
func (r *reader) open() error {
	header := http.Header{}
	ranged := true
	switch {
	case r.answered:
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.offset, r.end-1))
	case r.length > 0 && r.length <= math.MaxInt64-r.offset:
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.offset, r.offset+r.length-1))
	case r.offset > 0:
		header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
	default:
		ranged = false
	}
	e, err := r.client.send(r.ctx, http.MethodGet, r.client.object(r.key), header,
		http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	if err != nil {
		return err
	}
	if err := r.accept(e, ranged); err != nil {
		e.close()
		return err
	}
	r.body = e
	return nil
}

// accept checks that an answer is of the object's version and range, and reads up to the range's
// begin.
func (r *reader) accept(e *exchange, ranged bool) error {
	if e.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		if r.answered {
			return &Error{Err: fmt.Errorf("%w: it had %d bytes, and ends before byte %d now", ErrChanged, r.attributes.Size, r.offset)}
		}
		return &Error{Err: errRange}
	}
	v, err := versionOf(e.Header)
	if err != nil {
		return err
	}
	from, size := int64(0), e.ContentLength
	if e.StatusCode == http.StatusPartialContent {
		var until int64 // may be before the range's end; then there will be another request
		if from, until, size, err = contentRange(e.Header.Get("Content-Range")); err != nil {
			return err
		}
		if !ranged || from != r.offset || e.ContentLength >= 0 && e.ContentLength != until-from {
			return malformed("asked for bytes from %d on, got %q with %d bytes", r.offset, e.Header.Get("Content-Range"), e.ContentLength)
		}
	}
	if size < 0 {
		return malformed("object without a length")
	}
	if r.answered {
		if v.etag != r.version.etag || !v.modTime.Equal(r.version.modTime) || size != r.attributes.Size {
			return &Error{Err: fmt.Errorf("%w: it was %s with %d bytes, at byte %d it is %s with %d",
				ErrChanged, r.version.etag, r.attributes.Size, r.offset, v.etag, size)}
		}
	} else {
		r.end = size
		if r.length > 0 {
			r.end = r.offset + min(r.length, max(0, size-r.offset))
		}
	}
	if r.offset > size || ranged && r.offset == size {
		return &Error{Err: errRange}
	}
	r.answered, r.version = true, v
	r.attributes = driver.ReaderAttributes{ContentType: contentType(e.Header), ModTime: v.modTime, Size: size}
	// Servers that do not support ranges send the whole object.
	if n, err := io.CopyN(io.Discard, e, r.offset-from); err != nil {
		if err == io.EOF {
			err = broken(fmt.Errorf("byte %d of %d: %w", n, size, io.ErrUnexpectedEOF))
		}
		return err
	}
	return nil
}

// openEmpty makes this the reader of a range without bytes: one of length 0, or one that begins
// where the object ends, as when somebody resumes a body that was complete.
func (r *reader) openEmpty(b *bucket) error {
	a, err := b.head(r.ctx, r.key)
	if err != nil {
		return err
	}
	if r.offset > a.Size || r.length != 0 && r.offset < a.Size {
		return &Error{Err: fmt.Errorf("%w: byte %d of %d", errRange, r.offset, a.Size)}
	}
	r.attributes = driver.ReaderAttributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size}
	r.end = r.offset
	return nil
}

// Attributes is for gocloud.
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attributes }

// As is for gocloud.
func (r *reader) As(target any) bool { return plainETag(r.version.etag).as(target) }

// Close ends the request.
func (r *reader) Close() error {
	r.closed = true
	r.closeBody()
	r.patience.Close()
	return nil
}

func (r *reader) closeBody() {
	if r.body != nil {
		r.body.close()
		r.body = nil
	}
}

// contentRange reads "bytes 5-9/20" as from 5 until 10, which is not included, of 20.
func contentRange(s string) (from, until, size int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	first, last, ok3 := strings.Cut(span, "-")
	var errs [3]error
	from, errs[0] = number(first)
	until, errs[1] = number(last)
	size, errs[2] = number(total)
	if !ok || !ok2 || !ok3 || errors.Join(errs[:]...) != nil || from > until || until >= size {
		return 0, 0, 0, malformed("content range %.100q", s)
	}
	return from, until + 1, size, nil
}

// number reads digits and nothing else.
func number(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}
