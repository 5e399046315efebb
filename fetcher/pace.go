package fetcher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// paceGrace is how long a transfer may take to begin, and what a small object costs that never
	// comes. It has room for the longest pause that a host may ask for, or for one request that
	// stalled, and for another one.
	paceGrace = 40 * time.Second
	// paceWindow is how long a transfer that was fast may stand still.
	paceWindow = time.Minute
)

var errSlow = errors.New("too slow")

// pace ends a transfer whose source brings too little. The transfer has some time on its account,
// which waiting for the source uses up, and each byte adds to, up to a limit. So a slow one ends
// within the limit, and none takes longer than the grace and its size at the least rate: neither
// another request nor a lucky second starts anything again. The time in which the verifier keeps
// the source waiting does not count.
type pace struct {
	perByte float64 // in nanoseconds
	left    time.Duration
	timer   *time.Timer

	began    time.Time
	waited   time.Duration
	received int64
	rate     int64
}

// newPace returns the pace of a transfer and a context that it ends.
func newPace(ctx context.Context, rate int64) (context.Context, *pace) {
	ctx, end := context.WithCancelCause(ctx)
	p := &pace{perByte: float64(time.Second) / float64(rate), left: paceGrace, rate: rate}
	p.timer = time.AfterFunc(math.MaxInt64, func() { end(errSlow) })
	p.timer.Stop()
	return ctx, p
}

// begin starts to wait for the source.
func (p *pace) begin() {
	p.began = time.Now()
	p.timer.Reset(p.left)
}

// end stops to wait: n bytes came.
func (p *pace) end(n int) {
	p.timer.Stop()
	took := time.Since(p.began)
	p.waited += took
	p.received += int64(n)
	earned := min(float64(n)*p.perByte, float64(paceWindow)) // the product may be more than a Duration
	p.left = max(min(p.left-took+time.Duration(earned), paceWindow), 0)
}

// exceeded returns the error of a transfer that ended because it was too slow, nil for any other.
func (p *pace) exceeded(ctx context.Context) error {
	if context.Cause(ctx) != errSlow {
		return nil
	}
	return fmt.Errorf("%w: %d bytes came in %s, less than %d a second; the source or the line to it is at fault, try again later",
		errSlow, p.received, (p.waited + time.Since(p.began)).Round(time.Second), p.rate)
}
