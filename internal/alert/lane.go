package alert

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/rs/zerolog"
)

// retryTimes say when a target is tried again.
type retryTimes struct {
	first, longest time.Duration // after a failure that may pass: from the one, doubling, to the other
	refused        time.Duration // after an answer that will be the same next time
	claimed        time.Duration // when another process sends
}

func (r retryTimes) withDefaults() retryTimes {
	if r == (retryTimes{}) {
		return retryTimes{first: 2 * time.Second, longest: 5 * time.Minute, refused: 15 * time.Minute, claimed: 500 * time.Millisecond}
	}
	return r
}

const (
	// refusalsToRest is how many refusals in a row show that the target is at fault and not an alert.
	refusalsToRest = 3
	// failuresToError is from which failure in a row it is an error in the log and not a warning.
	failuresToError = 3
	// maxWaiting is how many alerts a round that is not urgent sends at most. Before the first is sent the audit store is asked for
	// the mark of each, which in a flood would take minutes; and what came up meanwhile has its turn in the next round.
	maxWaiting = 200
)

// lane brings the alerts of one namespace to one target.
type lane struct {
	feed   *feed
	target Target
	box    blobstore.Outbox
	log    zerolog.Logger

	busy sync.Mutex // held during a round; what is below belongs to the round

	unmarked map[string]Alert     // sent, but the mark could not be written
	refused  map[string]time.Time // not to be tried before
	next     time.Time            // nothing is to be tried before
	delays   *backoff.ExponentialBackOff
	failures int     // rounds in a row
	refusals []error // of this round

	mu        sync.Mutex
	delivered map[string]time.Time // what the target has, and when this process sent it last: zero if another did
}

func newLane(f *feed, t Target) *lane {
	delays := backoff.NewExponentialBackOff() // with jitter
	delays.InitialInterval, delays.MaxInterval, delays.Multiplier = f.options.retry.first, f.options.retry.longest, 2
	return &lane{
		feed: f, target: t, box: f.box, delays: delays,
		log:      f.options.Log.With().Str("namespace", f.namespace).Str("target", t.name).Logger(),
		unmarked: map[string]Alert{}, refused: map[string]time.Time{}, delivered: map[string]time.Time{},
	}
}

func (l *lane) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.delivered[name]
	return ok
}

func (l *lane) set(name string, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered[name] = sent
}

func (l *lane) forget(open map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.delivered {
		if !open[name] {
			delete(l.delivered, name)
		}
	}
}

// round delivers what the target has not got, then repeats what it wants repeated. An urgent round does not wait for the time of
// the next attempt, and goes on until nothing is left or something fails.
func (l *lane) round(ctx context.Context, names []string, urgent bool) error {
	if !urgent && time.Now().Before(l.next) {
		return nil
	}
	open := setOf(names)
	for name := range l.refused {
		if !open[name] {
			delete(l.refused, name)
		}
	}
	l.refusals = nil
	more, err := true, error(nil)
	for more && err == nil {
		more, err = l.deliver(ctx, names, open, urgent)
		more = more && urgent
	}
	if err == nil {
		err = l.repeat(ctx, names, open)
	}
	if errors.Is(err, blobstore.ErrClaimed) || ctx.Err() != nil {
		return err
	}
	return l.conclude(err)
}

// conclude decides when the next round is, and tells the log what went wrong in this one.
func (l *lane) conclude(err error) error {
	if err == nil && len(l.refusals) == 0 {
		l.failures = 0
		l.delays.Reset()
		return nil
	}
	level := zerolog.ErrorLevel
	if err != nil {
		l.failures++
		delay := l.delays.NextBackOff()
		if d, ok := errors.AsType[*deferral](err); ok {
			delay = max(delay, d.after)
		}
		l.next = time.Now().Add(delay)
		if l.failures < failuresToError && len(l.refusals) == 0 {
			level = zerolog.WarnLevel
		}
	}
	err = fmt.Errorf("alerts of %s at %s: %w", l.feed.namespace, l.target.name, errors.Join(append(l.refusals, err)...))
	l.log.WithLevel(level).Err(err).Int("refused", len(l.refusals)).
		Float64("next_attempt_seconds", time.Until(l.next).Seconds()).Msg("alerts were not delivered")
	return err
}

// deliver sends under one claim, for half its lease at most: the other half is for the last request and for its marks. It says
// whether there is more to do.
//
// The mark of a delivery is looked for under the claim, and written before the claim is given back, so that the next holder sees
// it. When it cannot be written the claim is kept until it ends, and this process, which knows what it has sent, tries again. A
// crash after the request and before the mark is the case in which an alert is sent twice.
func (l *lane) deliver(ctx context.Context, names []string, open map[string]bool, urgent bool) (more bool, err error) {
	if err := l.mark(ctx); err != nil {
		return false, err
	}
	waiting, err := l.waiting(ctx, names, urgent)
	if err != nil || len(waiting) == 0 {
		return false, err
	}
	end := time.Now().Add(l.feed.options.lease / 2)
	claim, err := l.box.Claim(ctx, l.target.name, l.feed.options.lease)
	if err != nil {
		return false, err
	}
	defer func() {
		if len(l.unmarked) == 0 {
			ctx, cancel := detach(ctx, storeTimeout)
			defer cancel()
			_ = claim.Release(ctx) // else it ends with its lease
		}
	}()
	inARow, sent := 0, false
	for size := l.target.batch; len(waiting) > 0; {
		if ctx.Err() != nil || time.Now().After(end) {
			return true, ctx.Err()
		}
		taking, cancel := context.WithDeadline(ctx, end) // a store that hangs must not keep a request until the claim is another's
		batch, rest, err := l.take(taking, waiting, open, size)
		cancel()
		if err != nil && sent && time.Now().After(end) {
			return true, ctx.Err() // the time is over, and nothing is wrong
		}
		if err != nil || len(batch) == 0 {
			return false, err
		}
		err, sent = l.send(ctx, batch), true
		switch {
		case err == nil:
			inARow = 0
			err = l.mark(ctx)
		case refused(err) && len(batch) > 1:
			size, rest, err = 1, waiting, nil // one of them may be at fault
		case refused(err):
			l.refused[batch[0].name()] = time.Now().Add(jitter(l.feed.options.retry.refused))
			l.refusals = append(l.refusals, err)
			if inARow++; inARow == refusalsToRest {
				l.next = time.Now().Add(jitter(l.feed.options.retry.refused))
				return false, nil
			}
			err = nil
		}
		if err != nil {
			return false, err
		}
		waiting = rest
	}
	return false, nil
}

// waiting returns the names of what is to be sent now, the worst first, as far as can be said without a claim.
func (l *lane) waiting(ctx context.Context, names []string, urgent bool) ([]string, error) {
	now := time.Now()
	var waiting []string
	for _, name := range names {
		if len(waiting) == maxWaiting && !urgent {
			break
		}
		if l.has(name) || !urgent && now.Before(l.refused[name]) {
			continue
		}
		if has, err := l.marked(ctx, name); err != nil {
			return nil, err
		} else if !has {
			waiting = append(waiting, name)
		}
	}
	return waiting, nil
}

// marked says whether the target has a notice from any process.
func (l *lane) marked(ctx context.Context, name string) (bool, error) {
	has, err := l.box.Delivered(ctx, l.target.name, name)
	if has {
		l.set(name, time.Time{})
	}
	return has, err
}

// take loads the next alerts to send, up to size, and returns the names after them. The end of a condition is not sent before the
// condition. What was loaded before an error is sent before somebody hears of that error.
func (l *lane) take(ctx context.Context, names []string, open map[string]bool, size int) (batch []Alert, rest []string, err error) {
	for i, name := range names {
		if len(batch) == size {
			return batch, names[i:], nil
		}
		a, ok, err := l.feed.load(ctx, name)
		if err == nil && !ok {
			continue
		}
		has := false
		if err == nil {
			if began := noticeName(a.Kind, a.Incident, false); a.Resolved() && open[began] && !l.has(began) {
				if len(batch) > 0 {
					return batch, names[i:], nil
				}
				continue
			}
			has, err = l.marked(ctx, name)
		}
		switch {
		case err != nil && len(batch) > 0:
			return batch, names[i:], nil
		case err != nil:
			return nil, nil, err
		case !has:
			batch = append(batch, a)
		}
	}
	return batch, nil, nil
}

// send makes one request. It is not interrupted: whether it arrived would not be known.
func (l *lane) send(ctx context.Context, batch []Alert) error {
	ctx, cancel := detach(ctx, sendTimeout)
	defer cancel()
	err := l.target.send(ctx, batch)
	result := Delivered
	switch {
	case refused(err):
		result = Refused
	case err != nil:
		result = Failed
	}
	now := time.Now()
	for _, a := range batch {
		if err == nil {
			l.set(a.name(), now)
			l.unmarked[a.name()] = a
		}
		if observe := l.feed.options.OnDelivery; observe != nil {
			observe(l.target.name, a.Kind, result)
		}
	}
	return err
}

// mark writes down what was sent.
func (l *lane) mark(ctx context.Context) error {
	ctx, cancel := detach(ctx, storeTimeout)
	defer cancel()
	for name, a := range l.unmarked {
		data, err := record(a)
		if err == nil {
			err = l.box.MarkDelivered(ctx, l.target.name, name, data)
		}
		if err != nil {
			return err
		}
		delete(l.unmarked, name)
	}
	return nil
}

// repeat sends again what the target has and may forget. Several processes may do so at once.
func (l *lane) repeat(ctx context.Context, names []string, open map[string]bool) error {
	if l.target.repeat == 0 {
		return nil
	}
	now := time.Now()
	var due []Alert
	for _, name := range names {
		l.mu.Lock()
		last, has := l.delivered[name]
		l.mu.Unlock()
		if !has || now.Sub(last) < l.target.repeat {
			continue
		}
		a, ok, err := l.feed.load(ctx, name)
		if err != nil {
			return err
		}
		if ok && (a.Resolved() || !open[noticeName(a.Kind, a.Incident, true)]) {
			due = append(due, a)
		}
	}
	for batch := range slices.Chunk(due, l.target.batch) {
		if err := l.target.send(ctx, batch); err != nil {
			return fmt.Errorf("repeated: %w", err)
		}
		for _, a := range batch {
			l.set(a.name(), now)
		}
	}
	return nil
}

// detach is for what must be finished although its caller has been told to stop.
func detach(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}

func jitter(d time.Duration) time.Duration { return d - d/8 + rand.N(max(d/4, 1)) }
