package s3list

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// patienceWindow is how long an answer that came fast may stand still.
	patienceWindow = time.Minute
	// maxAsking is how long a listing or a look at an object's headers may take, however fast it is.
	maxAsking = 2 * time.Minute
)

var errSlow = errors.New("too slow")

// patience ends an operation whose host brings too little, over all its attempts, redirects and
// pauses. The operation has some time on its account, which waiting for the host uses up, and each
// byte adds to, up to a limit. So a server that hangs or drips costs one Options.Patience, not one
// for each attempt. Waiting for our own turn does not count, nor does the time in which the caller
// reads nothing. One goroutine uses it.
type patience struct {
	caller context.Context
	end    context.CancelCauseFunc
	timer  *time.Timer

	left, total time.Duration // until the end; each is enough for it
	perByte     float64       // in nanoseconds
	runs        bool
	began       time.Time
	waited      time.Duration
	received    int64
	last        error // of an attempt
	rate        int64
}

type patienceKey struct{}

// newPatience returns a patience that is not running, and the context that it ends. Its total is
// the longest time that it may run; 0 is no limit.
func newPatience(caller context.Context, o Options, total time.Duration) (context.Context, *patience) {
	ctx, end := context.WithCancelCause(caller)
	p := &patience{
		caller: caller, end: end, left: o.Patience, total: cmp.Or(total, math.MaxInt64), rate: o.MinRate,
		perByte: float64(time.Second) / float64(o.MinRate),
	}
	p.timer = time.AfterFunc(math.MaxInt64, func() { end(errSlow) })
	p.timer.Stop()
	return context.WithValue(ctx, patienceKey{}, p), p
}

// patienceOf returns the patience that ends a context, or nil, whose methods do nothing.
func patienceOf(ctx context.Context) *patience {
	p, _ := ctx.Value(patienceKey{}).(*patience)
	return p
}

func (p *patience) start() {
	if p != nil && !p.runs {
		p.runs, p.began = true, time.Now()
		p.timer.Reset(min(p.left, p.total))
	}
}

func (p *patience) stop() {
	if p != nil && p.runs {
		p.timer.Stop()
		took := time.Since(p.began)
		p.runs = false
		p.waited += took
		p.left = max(p.left-took, 0)
		p.total = max(p.total-took, 0)
	}
}

// earn adds what n bytes are worth.
func (p *patience) earn(n int) {
	if p == nil || n == 0 {
		return
	}
	ran := p.runs
	p.stop()
	p.received += int64(n)
	earned := min(float64(n)*p.perByte, float64(patienceWindow)) // more might be no Duration
	p.left = min(p.left+time.Duration(earned), max(patienceWindow, p.left))
	if ran {
		p.start()
	}
}

// note keeps what an attempt failed of.
func (p *patience) note(err error) {
	if p != nil && err != nil && p.runs && !errors.Is(err, context.Canceled) {
		p.last = err
	}
}

// close ends the context.
func (p *patience) close() {
	p.timer.Stop()
	p.end(nil)
}

// explain returns the error of an operation that failed in err: err itself, unless the patience had
// ended.
func (p *patience) explain(ctx context.Context, err error) error {
	if err == nil || p.caller.Err() != nil || context.Cause(ctx) != errSlow {
		return err
	}
	p.stop()
	slow := fmt.Errorf("%w: %d bytes came in %s, less than %d a second; the log's server or the line to it is at fault, try again later",
		errSlow, p.received, p.waited.Round(time.Millisecond), p.rate)
	if e, ok := errors.AsType[*Error](p.last); ok {
		slow = fmt.Errorf("%w; the last attempt but one: %w", slow, e.Err)
	}
	return &Error{Err: slow}
}

// patiently makes attempts with the options' patience, for what is read in one go.
func patiently[T any](caller context.Context, o Options, attempts func(context.Context) (T, error)) (T, error) {
	ctx, p := newPatience(caller, o, maxAsking)
	defer p.close()
	p.start()
	result, err := attempts(ctx)
	return result, p.explain(ctx, err)
}
