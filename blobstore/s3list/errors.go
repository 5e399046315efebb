package s3list

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/text"
	"gocloud.dev/gcerrors"
)

var (
	// ErrReadOnly: public logs cannot be written. gcerrors.Unimplemented.
	ErrReadOnly = errors.New("public logs are read-only")
	// ErrChanged: the object was replaced while it was read. Read it again from its first byte.
	// gcerrors.FailedPrecondition.
	ErrChanged = errors.New("object changed while it was read")
	// ErrMalformed: S3 does not answer this request like that. It says nothing about what the log
	// holds: a proxy or a login page may have answered. Retry later. gcerrors.Internal.
	ErrMalformed = errors.New("not an answer of S3")

	errTimeout  = errors.New("no answer in time")
	errRedirect = errors.New("redirect refused")
	errKey      = errors.New("key is empty")
	errToken    = errors.New("page token is none of this bucket's")
	errRange    = errors.New("range begins after the object's end")
)

const (
	maxErrorBody    = 16 << 10
	maxErrorMessage = 200  // of the server's
	maxErrorText    = 1000 // of all of an error
	maxErrorKey     = 300
)

// Error is a request that failed. gocloud's errors wrap it: errors.As finds it.
type Error struct {
	// Op is the operation: "list", "head" or "read", or the write that was refused.
	Op string
	// Key is the object's key, or the prefix that was listed; cut off after 300 bytes.
	Key string
	// Status is the HTTP status; 0 if there was none, or if it was good but the rest of the answer
	// was not.
	Status int
	// Code is S3's name for the error, such as "SlowDown", if there is one.
	Code string
	// Err is what went wrong.
	Err error

	transient bool // another attempt may succeed
}

// Error quotes the key. It is one line of at most 1,000 bytes, whatever the server said.
func (e *Error) Error() string {
	return text.Clean(fmt.Sprintf("%s %q: %v", e.Op, e.Key, e.Err), maxErrorText)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// code is gocloud's code for the error.
func (e *Error) code() gcerrors.ErrorCode {
	switch s := e.Status; {
	case s == http.StatusNotFound || s == http.StatusGone:
		return gcerrors.NotFound
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return gcerrors.PermissionDenied
	case s == http.StatusPreconditionFailed:
		return gcerrors.FailedPrecondition
	case s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable:
		return gcerrors.ResourceExhausted
	case s == http.StatusRequestTimeout || s == http.StatusGatewayTimeout:
		return gcerrors.DeadlineExceeded
	case s == http.StatusMethodNotAllowed || s == http.StatusNotImplemented:
		return gcerrors.Unimplemented
	case s >= 500:
		return gcerrors.Internal
	case s >= 400:
		return gcerrors.InvalidArgument
	}
	switch is := func(target error) bool { return errors.Is(e.Err, target) }; {
	case is(ErrReadOnly):
		return gcerrors.Unimplemented
	case is(ErrChanged):
		return gcerrors.FailedPrecondition
	case is(ErrMalformed):
		return gcerrors.Internal
	case is(errTimeout), is(patience.ErrSlow):
		return gcerrors.DeadlineExceeded
	case is(errHeld):
		return gcerrors.ResourceExhausted
	case is(errKey), is(errToken), is(errRange):
		return gcerrors.InvalidArgument
	}
	return gcerrors.Unknown
}

// malformed is an error about an answer that another attempt at once will not change.
func malformed(format string, args ...any) error {
	return &Error{Err: fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))}
}

// broken is an error about an answer, or a connection, that another attempt may mend.
func broken(err error) error { return &Error{Err: err, transient: true} }

// connectionError is for errors of net/http. Its own timeouts are context.DeadlineExceeded, which
// the caller would take for the end of its context; only that end stays a context error.
func connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return broken(fmt.Errorf("%w: %v", errTimeout, err))
	case certificate || errors.Is(err, errRedirect) || errors.Is(err, errHeld):
		return &Error{Err: err}
	case errors.Is(err, io.EOF): // the caller would take it for the end of the body
		return broken(fmt.Errorf("connection closed: %w", io.ErrUnexpectedEOF))
	}
	return broken(err)
}

// statusError reads the server's explanation of a status that is not a success.
func statusError(status int, body io.Reader) *Error {
	e := &Error{Status: status, Err: fmt.Errorf("%d %s", status, http.StatusText(status))}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		e.transient = true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
	default:
		e.transient = status >= 500
	}
	var answer struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}
	// S3's errors are XML, those of a content delivery network in front of it are pages; the status
	// counts in either case.
	if xml.NewDecoder(io.LimitReader(body, maxErrorBody)).Decode(&answer) == nil && isName(answer.Code) {
		e.Code = answer.Code
		e.Err = fmt.Errorf("%w: %s: %q", e.Err, answer.Code, text.Cut(answer.Message, maxErrorMessage))
	}
	return e
}

func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.") == ""
}

// annotate adds the failed operation to an error. Errors of the context stay as they are.
func annotate(err error, op, key string) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Op, e.Key = op, text.Cut(key, maxErrorKey)
		if e.Status == http.StatusForbidden && op != "list" {
			e.Err = fmt.Errorf("%w (S3 also says this of missing objects if listing is not allowed)", e.Err)
		}
	}
	return err
}
