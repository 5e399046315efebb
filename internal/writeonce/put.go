package writeonce

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// putOnce creates an object, and tries again what may pass.
func (b *Bucket) putOnce(ctx context.Context, key string, data []byte) error {
	exists := false
	err := blobstore.Retry(ctx, func() error {
		err := b.write(ctx, key, data, &blob.WriterOptions{ContentType: contentType(key), IfNotExist: true})
		if exists = gcerrors.Code(err) == gcerrors.FailedPrecondition; exists {
			return nil
		}
		return err
	})
	switch {
	case exists:
		return ErrExists
	case err == nil:
		b.failing.Store(false)
		return nil
	case !errors.Is(ctx.Err(), context.Canceled):
		b.failing.Store(true)
	}
	return fmt.Errorf("write %s: %w", key, err)
}
