package blobstore

import (
	"context"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ktaudit/ktaudit/internal/wait"
	"gocloud.dev/gcerrors"
)

const (
	attempts     = 4
	firstBackoff = 50 * time.Millisecond
	// retriedFor is how long a request is tried again: the service's library has waited before.
	retriedFor = 10 * time.Second
	// throttledFor is how long a request gives way to a service that asks for fewer. R2 and Google
	// take one write of a key a second, and all processes that start write the same probe.
	throttledFor = 20 * time.Second
)

// Retry makes a request until it goes well, or fails of what lasts. The services' libraries try
// again, too, but each as often as it likes: with a third of all answers 503 that is not enough.
func Retry(ctx context.Context, request func() error) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval = firstBackoff
	started := time.Now()
	for attempt := 1; ; attempt++ {
		err := request()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause := max(retryAfter(err, throttledFor), delays.NextBackOff())
		waited := time.Since(started)
		again := attempt < attempts && waited < retriedFor && isTransient(err)
		if Status(err) == http.StatusTooManyRequests {
			again = waited+pause < throttledFor
		}
		if !again || wait.For(ctx, pause) != nil {
			return err
		}
	}
}

// isTransient reports whether another attempt may go well. S3's 409 ConditionalRequestConflict asks
// for one, and server errors that the service's library has given up on may pass.
func isTransient(err error) bool {
	switch status := Status(err); {
	case status == http.StatusNotImplemented:
		return false
	case status >= 400 && status < 500:
		return status == http.StatusRequestTimeout || status == http.StatusConflict
	}
	switch gcerrors.Code(err) {
	case gcerrors.Unknown, gcerrors.Internal, gcerrors.ResourceExhausted, gcerrors.DeadlineExceeded:
		return true
	}
	return false
}
