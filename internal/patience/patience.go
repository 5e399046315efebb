// Package patience ends operations whose source brings too little: one that hangs, drips, or asks
// for pause after pause.
//
// It promises that an operation costs a bounded time, over all its requests and the waits between
// them, and that time for which the source is not to blame does not count. What to try again, and
// when, is the caller's decision.
package patience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// window is how long a transfer that was fast may stand still.
const window = time.Minute

// ErrSlow is in the error of an operation whose patience ended.
var ErrSlow = errors.New("too slow")

// Limits bound an operation.
type Limits struct {
	// Grace is how long the source may bring nothing at the start.
	Grace time.Duration
	// MinRate is how many bytes a second it must bring later.
	MinRate int64
	// Total is the longest time, at whatever rate; 0 is no limit.
	Total time.Duration
}

// Patience has some time on its account, which waiting for the source uses up, and each byte adds
// to, up to a minute. Neither another request nor a lucky second starts it again. One goroutine
// waits; requests that others make on its behalf may pause it. The methods of a nil Patience do
// nothing.
type Patience struct {
	caller  context.Context
	end     context.CancelCauseFunc
	timer   *time.Timer
	perByte float64 // in nanoseconds
	rate    int64

	mu          sync.Mutex
	left, total time.Duration // until the end; each is enough for it
	waits       bool          // somebody waits for the source
	pauses      int           // that were not resumed yet
	began       time.Time     // when the clock began to run; zero: it stands still
	waited      time.Duration
	received    int64
	last        error // of an attempt
}

type key struct{}

type pauseKey struct{}

// Pausable returns a context under which Pause calls a function, which stops a clock and returns
// one that lets it go on.
func Pausable(ctx context.Context, pause func() (resume func())) context.Context {
	outer, _ := ctx.Value(pauseKey{}).(func() func())
	if outer == nil {
		return context.WithValue(ctx, pauseKey{}, pause)
	}
	return context.WithValue(ctx, pauseKey{}, func() func() {
		resumeOuter, resume := outer(), pause()
		return func() {
			resume()
			resumeOuter()
		}
	})
}

// Pause stops all clocks that a context is under, each Patience among them, for time in which we
// keep the source waiting ourselves. The function that it returns lets them go on; each pause must
// end for that.
func Pause(ctx context.Context) (resume func()) {
	if pause, ok := ctx.Value(pauseKey{}).(func() func()); ok {
		return pause()
	}
	return func() {}
}

// New returns a Patience that does not run yet, and the context that it ends. Close must follow.
func New(caller context.Context, l Limits) (context.Context, *Patience) {
	ctx, end := context.WithCancelCause(caller)
	p := &Patience{
		caller: caller, end: end, left: l.Grace, total: cmp.Or(l.Total, math.MaxInt64), rate: l.MinRate,
		perByte: float64(time.Second) / float64(l.MinRate),
	}
	p.timer = time.AfterFunc(math.MaxInt64, func() { end(ErrSlow) })
	p.timer.Stop()
	return Pausable(context.WithValue(ctx, key{}, p), p.pause), p
}

func (p *Patience) pause() (resume func()) {
	p.change(func() { p.pauses++ })
	return func() { p.change(func() { p.pauses-- }) }
}

// Of returns the Patience that ends a context, or nil.
func Of(ctx context.Context) *Patience {
	p, _ := ctx.Value(key{}).(*Patience)
	return p
}

// Start starts to wait for the source.
func (p *Patience) Start() {
	if p != nil {
		p.change(func() { p.waits = true })
	}
}

// Stop is for time in which nobody waits for the source.
func (p *Patience) Stop() {
	if p != nil {
		p.change(func() { p.waits = false })
	}
}

// change makes a change with the clock up to date, and lets it run afterwards if it is to.
func (p *Patience) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.IsZero() {
		p.timer.Stop()
		took := time.Since(p.began)
		p.began = time.Time{}
		p.waited += took
		p.left = max(p.left-took, 0)
		p.total = max(p.total-took, 0)
	}
	do()
	if p.waits && p.pauses == 0 {
		p.began = time.Now()
		p.timer.Reset(min(p.left, p.total))
	}
}

// Earn adds what n bytes are worth.
func (p *Patience) Earn(n int) {
	if p == nil || n == 0 {
		return
	}
	p.change(func() {
		p.received += int64(n)
		earned := min(float64(n)*p.perByte, float64(window)) // more might be no Duration
		p.left = min(p.left+time.Duration(earned), max(window, p.left))
	})
}

// Note keeps what an attempt failed of, for the error at the end.
func (p *Patience) Note(err error) {
	if p != nil && err != nil && !errors.Is(err, context.Canceled) {
		p.change(func() { p.last = err })
	}
}

// Close ends the context.
func (p *Patience) Close() {
	p.timer.Stop()
	p.end(nil)
}

// Exceeded returns the error of an operation that the Patience ended, with ErrSlow in it; nil if
// something else did. The context is the one from New, or made from it.
func (p *Patience) Exceeded(ctx context.Context) error {
	if p.caller.Err() != nil || context.Cause(ctx) != ErrSlow {
		return nil
	}
	p.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	err := fmt.Errorf("%w: %d bytes came in %s, less than %d a second; the server or the line to it is at fault, try again later",
		ErrSlow, p.received, p.waited.Round(time.Millisecond), p.rate)
	if p.last != nil {
		err = fmt.Errorf("%w; an earlier attempt: %w", err, p.last)
	}
	return err
}
