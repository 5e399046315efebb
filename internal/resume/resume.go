// Package resume has the rules for requests that fail and are made again: how long to wait between
// them, and when to give up on a body that keeps breaking off.
//
// Whether an error may pass at all is the caller's decision, and so is making the requests.
package resume

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ktaudit/ktaudit/internal/wait"
)

// MinProgress is how many bytes a body must bring for the count of failures to start again. Without
// a minimum, a server that sends one byte a request would be asked once for every byte.
const MinProgress = 64 << 10

// maxWait is the longest wait, unless the first one is longer already.
const maxWait = 10 * time.Second

// Waits returns the waits between attempts. The first one is given; each is twice the one before,
// up to 10 s or the first one if that is longer, and varies at random by half of itself either way.
func Waits(first time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: first, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: max(first, maxWait),
	}
}

// Body counts the failures of the requests for one body. One goroutine uses it.
type Body struct {
	attempts int
	waits    *backoff.ExponentialBackOff
	received int64 // since the last failure
	failures int
}

// NewBody returns the count for a body for which so many requests may fail one after the other.
// Before the second one there is the given wait; see Waits.
func NewBody(attempts int, first time.Duration) *Body {
	return &Body{attempts: attempts, waits: Waits(first)}
}

// Received takes note of n more bytes.
func (b *Body) Received(n int) { b.received += int64(n) }

// Failed counts a failed request. It reports whether another one may follow, after Wait.
func (b *Body) Failed() bool {
	if b.received >= MinProgress {
		b.failures = 0
		b.waits.Reset()
	}
	b.received = 0
	b.failures++
	return b.failures < b.attempts
}

// Wait waits before the next request. Its error is ctx's.
func (b *Body) Wait(ctx context.Context) error { return wait.For(ctx, b.waits.NextBackOff()) }
