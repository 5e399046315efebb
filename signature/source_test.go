package signature_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/signature"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

func TestBucketSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { bucket.Close() })
	source := signature.BucketSource{Bucket: bucket}
	b, err := json.Marshal(sign(t, key(1), 7))
	if err != nil {
		t.Fatal(err)
	}
	put(t, bucket, "7.json", b)
	put(t, bucket, "8.json", make([]byte, signature.MaxSize+1))
	put(t, bucket, "9.json", make([]byte, signature.MaxSize))

	got, written, err := source.Get(ctx, 7)
	if err != nil || !bytes.Equal(got, b) || time.Since(written).Abs() > time.Hour {
		t.Errorf("epoch 7: %q, written %v, error %v", got, written, err)
	}
	if got, written, err := source.Get(ctx, 8); !errors.Is(err, signature.ErrMalformed) || len(got) != signature.MaxSize || written.IsZero() {
		t.Errorf("an object that is too large: %d bytes, written %v, error %v, want ErrMalformed", len(got), written, err)
	}
	if got, _, err := source.Get(ctx, 9); err != nil || len(got) != signature.MaxSize {
		t.Errorf("an object of the largest size: %d bytes, error %v", len(got), err)
	}
	if _, _, err := source.Get(ctx, 10); !errors.Is(err, signature.ErrNotFound) {
		t.Errorf("no object: %v, want ErrNotFound", err)
	}
	bucket.Close()
	if _, _, err := source.Get(ctx, 7); !retriable(err) {
		t.Errorf("a bucket that fails: %v, want a fault that can be retried", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := source.Get(ended, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v, want context.Canceled", err)
	}
}

// A body that ends early says nothing about the object, even where its end looks like any other.
func TestBucketSourceCutBody(t *testing.T) {
	t.Parallel()
	whole := []byte(`{"version":1}`)
	for name, c := range map[string]struct {
		body []byte
		size int64
		cut  bool
	}{
		"whole":                        {whole, int64(len(whole)), false},
		"of a size that nobody stated": {whole, 0, false},
		"cut":                          {whole[:5], int64(len(whole)), true},
		"cut before the first byte":    {nil, int64(len(whole)), true},
		"of one too large, cut":        {whole, signature.MaxSize + 100, true},
	} {
		bucket := blob.NewBucket(&cutBucket{body: c.body, size: c.size})
		t.Cleanup(func() { bucket.Close() })
		got, _, err := signature.BucketSource{Bucket: bucket}.Get(t.Context(), 1)
		if c.cut && (!retriable(err) || !errors.Is(err, io.ErrUnexpectedEOF)) {
			t.Errorf("%s: got %q, %v, want a fault that can be retried", name, got, err)
		}
		if !c.cut && (err != nil || !bytes.Equal(got, c.body)) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func retriable(err error) bool {
	return err != nil && !errors.Is(err, signature.ErrNotFound) && !errors.Is(err, signature.ErrMalformed)
}

func put(t *testing.T, bucket *blob.Bucket, name string, b []byte) {
	t.Helper()
	if err := bucket.WriteAll(t.Context(), name, b, nil); err != nil {
		t.Fatal(err)
	}
}

// cutBucket answers every request with body, and says that it has size bytes.
type cutBucket struct {
	driver.Bucket
	body []byte
	size int64
}

func (b *cutBucket) Close() error                       { return nil }
func (b *cutBucket) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }
func (b *cutBucket) ErrorAs(error, any) bool            { return false }
func (b *cutBucket) NewRangeReader(context.Context, string, int64, int64, *driver.ReaderOptions) (driver.Reader, error) {
	return &cutReader{*bytes.NewReader(b.body), b.size}, nil
}

type cutReader struct {
	bytes.Reader
	size int64
}

func (r *cutReader) Close() error { return nil }
func (r *cutReader) As(any) bool  { return false }
func (r *cutReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size}
}

// hanging is a bucket whose bodies give a byte now and then.
type hanging struct{ driver.Bucket }

func (hanging) NewRangeReader(ctx context.Context, _ string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	return dripping{ctx}, nil
}
func (hanging) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }
func (hanging) Close() error                       { return nil }

type dripping struct{ ctx context.Context }

func (r dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(10 * time.Second):
		p[0] = '{'
		return 1, nil
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}
func (dripping) Close() error                         { return nil }
func (dripping) Attributes() *driver.ReaderAttributes { return &driver.ReaderAttributes{Size: 1000} }
func (dripping) As(any) bool                          { return false }

// A source of any kind that drips is at fault before a minute has passed, and its end is not taken
// for the caller's.
func TestHostileSourceDrips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bucket := blob.NewBucket(hanging{})
		defer bucket.Close()
		began := time.Now()
		_, _, err := signature.BucketSource{Bucket: bucket}.Get(t.Context(), 1)
		if took := time.Since(began); took > time.Minute || !errors.Is(err, patience.ErrSlow) || errors.Is(err, context.Canceled) {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
