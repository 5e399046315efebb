package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/signature"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
	"golang.org/x/time/rate"
)

// bucketRate is how many times a second a bucket asks its auditor, unless its URL says otherwise.
const bucketRate, maxBucketRate = 10, 1000

// IsBucketURL reports whether a URL is one for OpenBucket.
func IsBucketURL(text string) bool { return strings.HasPrefix(text, "plexi+") }

// OpenBucket shows what an auditor signed of a log as a bucket for signature.BucketSource: that of
// epoch N is "{N}.json". Its URL is plexi+https://HOST/NAMESPACE, or plexi+http:// on this machine;
// ?rate=N bounds the requests a second.
//
// An answer that is no signed digest of the epoch is a fault of the auditor's, or of what answers
// in its place: it says nothing against the log, so the bucket returns an error and not the bytes.
func OpenBucket(text string) (*blob.Bucket, error) {
	b, err := newBucket(text)
	if err != nil {
		return nil, err
	}
	return blob.NewBucket(b), nil
}

// CheckBucketURL returns what is wrong with a URL for OpenBucket.
func CheckBucketURL(text string) error {
	_, err := newBucket(text)
	return err
}

func newBucket(text string) (*bucket, error) {
	fail := func(what string) (*bucket, error) {
		return nil, fmt.Errorf("%.200q: %s: want plexi+https://HOST/NAMESPACE", text, what)
	}
	u, err := url.Parse(strings.TrimPrefix(text, "plexi+"))
	if err != nil {
		return fail("it is no URL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	perSecond := float64(bucketRate)
	for name, values := range query {
		if perSecond, err = strconv.ParseFloat(values[0], 64); name != "rate" || len(values) > 1 || err != nil || !(perSecond > 0 && perSecond <= maxBucketRate) {
			return fail("its only parameter is rate, a number of requests a second up to 1000")
		}
	}
	if err != nil || u.Fragment != "" || u.User != nil {
		return fail("it goes on after the namespace, or has a user name")
	}
	namespace := strings.TrimPrefix(u.Path, "/")
	if strings.Contains(namespace, "/") || checkName(namespace) != nil {
		return fail("its path is not the name of a log")
	}
	c, err := New(Config{URL: u.Scheme + "://" + u.Host})
	if err != nil {
		return nil, err
	}
	return &bucket{client: c, namespace: namespace, limiter: rate.NewLimiter(rate.Limit(perSecond), 10)}, nil
}

// bucket is the driver.
type bucket struct {
	client    *Client
	namespace string
	limiter   *rate.Limiter
}

var errReadOnly = errors.New("an auditor's signed digests can be read, one by one, and nothing else")

// ErrorCode is for gocloud.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, ErrNotFound):
		return gcerrors.NotFound
	case errors.Is(err, errReadOnly):
		return gcerrors.Unimplemented
	}
	return gcerrors.Unknown
}

// NewRangeReader asks for one signed digest.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	text, isJSON := strings.CutSuffix(key, ".json")
	epoch, err := strconv.ParseUint(text, 10, 64)
	if err != nil || !isJSON || strconv.FormatUint(epoch, 10) != text {
		return nil, fmt.Errorf("%w: no object %.100q", ErrNotFound, key)
	}
	if err := b.limiter.Wait(ctx); err != nil {
		return nil, err
	}
	data, _, err := b.client.Audit(ctx, b.namespace, epoch)
	if errors.Is(err, signature.ErrMalformed) || errors.Is(err, signature.ErrMismatch) {
		// Not wrapped: as a fault it rejects nothing.
		err = fmt.Errorf("%w: %s", ErrMalformed, err.Error())
	}
	if err != nil {
		return nil, err
	}
	size := int64(len(data))
	offset = min(offset, size)
	end := size
	if length >= 0 {
		end = min(size, offset+length)
	}
	return &reader{*bytes.NewReader(data[offset:end]), size}, nil
}

type reader struct {
	bytes.Reader
	size int64
}

func (r *reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: "application/json", Size: r.size}
}
func (r *reader) As(any) bool  { return false }
func (r *reader) Close() error { return nil }

// What a bucket has beside that.

func (b *bucket) As(any) bool             { return false }
func (b *bucket) ErrorAs(error, any) bool { return false }
func (b *bucket) Close() error            { b.client.http.CloseIdleConnections(); return nil }
func (b *bucket) Attributes(context.Context, string) (*driver.Attributes, error) {
	return nil, errReadOnly
}
func (b *bucket) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	return nil, errReadOnly
}
func (b *bucket) NewTypedWriter(context.Context, string, string, *driver.WriterOptions) (driver.Writer, error) {
	return nil, errReadOnly
}
func (b *bucket) Copy(context.Context, string, string, *driver.CopyOptions) error { return errReadOnly }
func (b *bucket) Delete(context.Context, string, *driver.DeleteOptions) error     { return errReadOnly }
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errReadOnly
}
