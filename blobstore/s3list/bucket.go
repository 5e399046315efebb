package s3list

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// bucket is the driver. Through gocloud's As it offers *Error and, for listed objects and readers,
// ETag.
type bucket struct {
	client *client
}

var _ driver.Bucket = (*bucket)(nil)

// ErrorCode is for gocloud.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.code()
	}
	return gcerrors.Unknown
}

// As is for gocloud: *Notices.
func (b *bucket) As(target any) bool {
	n, ok := target.(*Notices)
	if ok {
		n.random = b.client.random
	}
	return ok
}

// ErrorAs is for gocloud.
func (b *bucket) ErrorAs(err error, target any) bool {
	e, ok := target.(**Error)
	return ok && errors.As(err, e)
}

// Close ends idle connections. Open readers stay usable.
func (b *bucket) Close() error {
	b.client.close()
	return nil
}

// Attributes asks for the headers that a read would have.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := patiently(ctx, b.client.options, func(ctx context.Context) (*driver.Attributes, error) { return b.head(ctx, key) })
	return a, annotate(err, "head", key)
}

func (b *bucket) head(ctx context.Context, key string) (*driver.Attributes, error) {
	if key == "" {
		return nil, &Error{Err: errKey}
	}
	return retry(ctx, b.client.options, func() (*driver.Attributes, error) {
		e, err := b.client.send(ctx, http.MethodHead, b.client.object(key), nil, http.StatusOK)
		if err != nil {
			return nil, err
		}
		defer e.close()
		v, err := versionOf(e.Header)
		if err != nil {
			return nil, err
		}
		if e.ContentLength < 0 {
			return nil, malformed("object without a length")
		}
		return &driver.Attributes{
			CacheControl:       headerText(e.Header, "Cache-Control"),
			ContentDisposition: headerText(e.Header, "Content-Disposition"),
			ContentEncoding:    headerText(e.Header, "Content-Encoding"),
			ContentLanguage:    headerText(e.Header, "Content-Language"),
			ContentType:        contentType(e.Header),
			ModTime:            v.modTime,
			Size:               e.ContentLength,
			ETag:               v.etag,
		}, nil
	})
}

// version tells the states of an object apart.
type version struct {
	etag    string
	modTime time.Time
}

// versionOf reads the headers that every S3 answer about an object has. A web page in its place
// mostly has neither.
func versionOf(h http.Header) (version, error) {
	v := version{etag: boundedETag(h.Get("ETag"))}
	if v.etag == "" {
		return v, malformed("object without an ETag")
	}
	var err error
	if v.modTime, err = http.ParseTime(h.Get("Last-Modified")); err != nil {
		return v, malformed("object without a time of writing: %w", err)
	}
	return v, nil
}

// ETag identifies a state of an object, without quotation marks and without the prefix of a weak
// one. It is empty if the answer had none. A content delivery network may list one state of an
// object and serve another.
//
// It is at most 256 printable ASCII characters: in place of one that is anything else stands its
// SHA-256, since ETags are only compared.
type ETag string

const (
	maxETag       = 256
	maxHeaderText = 512
)

// plainETag makes an ETag out of what a header or a listing says.
func plainETag(s string) ETag {
	s = strings.Trim(strings.TrimPrefix(s, "W/"), `"`)
	if isETag(s) {
		return ETag(s)
	}
	sum := sha256.Sum256([]byte(s))
	return ETag("sha256:" + hex.EncodeToString(sum[:]))
}

// boundedETag is a header's ETag as it came, unless it cannot be kept as it is.
func boundedETag(s string) string {
	if isETag(s) {
		return s
	}
	return `"` + string(plainETag(s)) + `"`
}

func isETag(s string) bool {
	return len(s) <= maxETag && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func (e ETag) as(target any) bool {
	to, ok := target.(*ETag)
	if ok {
		*to = e
	}
	return ok
}

// headerText is a header's value, cut and safe to print.
func headerText(h http.Header, name string) string { return text.Clean(h.Get(name), maxHeaderText) }

func contentType(h http.Header) string {
	if t := headerText(h, "Content-Type"); t != "" {
		return t
	}
	return "application/octet-stream" // as S3 has it
}

// NewTypedWriter fails.
func (b *bucket) NewTypedWriter(_ context.Context, key, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return nil, &Error{Op: "write", Key: key, Err: ErrReadOnly}
}

// Copy fails.
func (b *bucket) Copy(_ context.Context, key, _ string, _ *driver.CopyOptions) error {
	return &Error{Op: "copy to", Key: key, Err: ErrReadOnly}
}

// Delete fails.
func (b *bucket) Delete(_ context.Context, key string, _ *driver.DeleteOptions) error {
	return &Error{Op: "delete", Key: key, Err: ErrReadOnly}
}

// SignedURL fails: URLs of public logs need no signature.
func (b *bucket) SignedURL(_ context.Context, key string, _ *driver.SignedURLOptions) (string, error) {
	return "", &Error{Op: "sign a URL of", Key: key, Err: ErrReadOnly}
}
