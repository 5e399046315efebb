package signature

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// slow is how long an object may take: it has a few hundred bytes.
const slow = 40 * time.Second

// BucketSource reads signed digests from a bucket, that of epoch N from the object "{N}.json".
type BucketSource struct{ Bucket *blob.Bucket }

// Get returns the stored bytes for Parse, and when the object was last written, if the bucket says
// so: a very recent object may not be complete yet. It returns ErrNotFound, wrapped, if there is no
// object, and ErrMalformed, wrapped, with the first MaxSize bytes, if it is over MaxSize. Every
// other error is a fault of the bucket, such as a body that ends early, or the end of ctx: try
// again.
func (b BucketSource) Get(ctx context.Context, epoch uint64) (data []byte, written time.Time, err error) {
	key := fmt.Sprintf("%d.json", epoch)
	ctx, p := patience.New(ctx, patience.Limits{Grace: slow, MinRate: MaxSize})
	defer p.Close()
	p.Start()
	r, err := b.Bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, written, fmt.Errorf("%w: epoch %d: no object %s", ErrNotFound, epoch, key)
	}
	if err != nil {
		return nil, written, readError(ctx, p, key, err)
	}
	defer r.Close()
	data, err = io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && int64(len(data)) < min(r.Size(), MaxSize+1) {
		// Some servers and proxies end a broken body as if it were whole. It would pass for
		// malformed.
		err = fmt.Errorf("%d of %d bytes: %w", len(data), r.Size(), io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, written, readError(ctx, p, key, err)
	}
	if len(data) > MaxSize {
		return data[:MaxSize], r.ModTime(), fmt.Errorf("%w: epoch %d: %s is over %d bytes", ErrMalformed, epoch, key, MaxSize)
	}
	return data, r.ModTime(), nil
}

// readError returns ctx's own error if ctx has ended: drivers wrap it, some so that errors.Is
// fails.
func readError(ctx context.Context, p *patience.Patience, key string, err error) error {
	if ended := p.Exceeded(ctx); ended != nil {
		return fmt.Errorf("reading signed digest %s: %w", key, ended)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("reading signed digest %s: %w", key, err)
}
