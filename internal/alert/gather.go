package alert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// gather loads the alerts in notices that can be sent now, in their order. It gives up after a
// while, and at the end, so that a store that hangs delays no other alert, nor a request until
// another process has the claim. A notice that cannot be read is left for a later round.
func (s *sender) gather(ctx context.Context, end time.Time, names []string, open map[string]bool) (alerts []Alert) {
	until := time.Now().Add(s.dispatcher.options.gather)
	if end.Before(until) {
		until = end
	}
	all := make([]Alert, len(names))
	states := make([]readiness, len(names))
	errs := s.read(ctx, until, len(names), func(ctx context.Context, i int) (err error) {
		all[i], states[i], err = s.check(ctx, names[i], open)
		return err
	})
	for i, a := range all {
		if errs[i] == nil && states[i] == ready {
			alerts = append(alerts, a)
		}
	}
	for i, err := range errs {
		switch {
		case err == nil:
			delete(s.unreadable, names[i])
		case ctx.Err() != nil, errors.Is(err, errNotRead):
		case len(alerts) > 0 && errors.Is(err, context.DeadlineExceeded): // for the next message
		default:
			s.postponeUnread(names[i], err)
		}
	}
	return alerts
}

// errNotRead stands for what was not begun in time.
var errNotRead = errors.New("not read yet")

// read makes n reads of the audit store, some at once and until a time, and returns how each ended.
func (s *sender) read(ctx context.Context, until time.Time, n int, read func(ctx context.Context, i int) error) []error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	errs := make([]error, n)
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range n {
		if ctx.Err() != nil {
			errs[i] = errNotRead
			continue
		}
		group.Go(func() error { errs[i] = read(ctx, i); return nil })
	}
	_ = group.Wait()
	return errs
}

// readiness reports whether an alert can be sent.
type readiness int

const (
	nothingToSend readiness = iota // the notice is closed or unreadable, or the target has it
	// the end of a condition whose beginning the target does not have
	afterBeginning
	ready
)

// check loads a notice and reports whether it can be sent now. The end of a condition is not sent
// before its beginning.
func (s *sender) check(ctx context.Context, name string, open map[string]bool) (Alert, readiness, error) {
	a, ok, err := s.dispatcher.load(ctx, name)
	if err != nil || !ok {
		return Alert{}, nothingToSend, err
	}
	if beginning := a.beginningName(); a.Resolved() && open[beginning] && !s.has(beginning) {
		return a, afterBeginning, nil
	}
	marked, err := s.readMark(ctx, name)
	if err != nil || marked {
		return Alert{}, nothingToSend, err
	}
	return a, ready, nil
}

// readMark reports whether any process has recorded that the target has a notice.
func (s *sender) readMark(ctx context.Context, name string) (bool, error) {
	marked, err := s.box.Delivered(ctx, s.target.Name, name)
	if marked {
		s.setDelivered(name, time.Time{})
	}
	return marked, err
}

// postponeUnread leaves a notice that could not be read for a later round, each time for longer.
func (s *sender) postponeUnread(name string, err error) {
	times := s.dispatcher.options.retry
	pause := min(times.first<<min(s.unreadable[name], 20), times.longest)
	s.notBefore[name] = time.Now().Add(jitter(pause))
	s.unreadable[name]++
	s.unread = append(s.unread, fmt.Errorf("%s: %w", name, err))
}
