package writeonce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	putAttempts  = 4
	firstBackoff = 50 * time.Millisecond
	// throttledFor is how long a write gives way to a service that asks for fewer. R2 and Google
	// take one write of a key a second, and all processes that start write the same probe.
	throttledFor = 20 * time.Second
	// retriedFor is how long a write is tried again: the service's library has waited before.
	retriedFor = 10 * time.Second
)

// putOnce creates an object, and tries again what may pass.
func (b *Bucket) putOnce(ctx context.Context, key string, data []byte) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval = firstBackoff
	started := time.Now()
	for attempt := 1; ; attempt++ {
		err := b.write(ctx, key, data, &blob.WriterOptions{ContentType: contentType(key), IfNotExist: true})
		if err == nil {
			b.failing.Store(false)
			return nil
		}
		if gcerrors.Code(err) == gcerrors.FailedPrecondition {
			return ErrExists
		}
		pause, throttled := blobstore.IsThrottled(err, throttledFor)
		pause = max(pause, delays.NextBackOff())
		waited := time.Since(started)
		again := mayPass(err) && attempt < putAttempts && waited < retriedFor || throttled && waited+pause < throttledFor
		if ctx.Err() == nil && again && wait.For(ctx, pause) == nil {
			continue
		}
		if !errors.Is(ctx.Err(), context.Canceled) {
			b.failing.Store(true)
		}
		return fmt.Errorf("write %s: %w", key, err)
	}
}

// mayPass reports whether another attempt may go well. S3's 409 ConditionalRequestConflict asks for
// one, and server errors that the service's library has given up on may pass.
func mayPass(err error) bool {
	switch status := blobstore.Status(err); {
	case status == http.StatusNotImplemented:
		return false
	case status >= 400 && status < 500:
		return status == http.StatusRequestTimeout || status == http.StatusConflict || status == http.StatusTooManyRequests
	}
	switch gcerrors.Code(err) {
	case gcerrors.Unknown, gcerrors.Internal, gcerrors.ResourceExhausted, gcerrors.DeadlineExceeded:
		return true
	}
	return false
}
