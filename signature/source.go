package signature

import (
	"context"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// BucketSource finds signed digests in a bucket, the one of epoch N as the object "{N}.json".
type BucketSource struct{ Bucket *blob.Bucket }

// Get returns the stored bytes for Parse. It returns ErrNotFound, wrapped, if there is no object, and ErrMalformed,
// wrapped, if it is over MaxSize. Every other error is a fault of the bucket or the end of ctx, and may be retried.
func (b BucketSource) Get(ctx context.Context, epoch uint64) ([]byte, error) {
	key := fmt.Sprintf("%d.json", epoch)
	r, err := b.Bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%w: epoch %d: no object %s", ErrNotFound, epoch, key)
	}
	if err != nil {
		return nil, readError(ctx, key, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, readError(ctx, key, err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: epoch %d: %s is over %d bytes", ErrMalformed, epoch, key, MaxSize)
	}
	return data, nil
}

// readError keeps the end of ctx recognisable: drivers wrap it in errors of their own, some without errors.Is.
func readError(ctx context.Context, key string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("reading signed digest %s: %w", key, err)
}
