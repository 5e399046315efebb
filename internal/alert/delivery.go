package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"golang.org/x/sync/errgroup"
)

const (
	// storeTimeout bounds writing down what was delivered.
	storeTimeout = 15 * time.Second
	// refusalsToPause is how many refusals in a row show that the target is at fault and not an
	// alert.
	refusalsToPause = 3
	// atOnce is how many reads and writes of the audit store a sender does at the same time.
	atOnce = 16
	// gatherTime is how long the alerts of a message are gathered before it is sent. In a flood it
	// tells of those that were read by then, and the next one of the others.
	gatherTime = 5 * time.Second
)

// deliver sends what the target does not have, the worst first, and reports whether there is more
// to do. It sends under one claim, for half its lease at most: the other half is for the last
// request and its marks.
//
// The mark of a delivery is looked for under the claim, and written before the claim is given back,
// so that the next holder sees it. While it cannot be written, the claim is kept until it ends, and
// this process, which knows what it has sent, tries again. A crash after the request and before the
// mark is the case in which an alert is sent twice.
func (s *sender) deliver(ctx context.Context, names []string, open map[string]bool, urgent bool) (more bool, err error) {
	if err := s.writeMarks(ctx); err != nil {
		return false, err
	}
	waiting, err := s.undelivered(ctx, names, urgent)
	if err != nil || len(waiting) == 0 {
		return false, err
	}
	lease := s.dispatcher.options.lease
	end := time.Now().Add(lease / 2)
	claim, err := s.box.Claim(ctx, s.target.Name, lease)
	if err != nil {
		return false, err
	}
	defer s.release(ctx, claim)
	return s.deliverUntil(ctx, end, waiting, open, urgent)
}

// undelivered returns the names of what may have to be sent now, the worst first. The first of them
// does, as far as is known without a claim; the others are looked at under it, so that the worst
// need not wait for them.
func (s *sender) undelivered(ctx context.Context, names []string, urgent bool) ([]string, error) {
	now := time.Now()
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return s.has(name) || !urgent && (now.Before(s.notBefore[name]) || s.isKnownPaused(name, now))
	})
	for len(names) > 0 {
		some := names[:min(atOnce, len(names))]
		waits := make([]bool, len(some))
		// What cannot be read is tried again under the claim, where it delays nothing else.
		_ = s.read(ctx, time.Now().Add(s.dispatcher.options.gather), len(some), func(ctx context.Context, i int) (err error) {
			waits[i], err = s.isWaiting(ctx, some[i], now, urgent)
			return err
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if first := slices.Index(waits, true); first >= 0 {
			return names[first:], nil
		}
		names = names[len(some):]
	}
	return nil, nil
}

// isWaiting reports whether the target lacks an alert, whose cause does not pause. One that cannot
// be read may be waiting.
func (s *sender) isWaiting(ctx context.Context, name string, now time.Time, urgent bool) (bool, error) {
	if !urgent && !s.target.Mixed {
		a, ok, err := s.dispatcher.load(ctx, name)
		if err != nil || !ok || s.isPaused(a, now) {
			return err != nil, err
		}
	}
	marked, err := s.readMark(ctx, name)
	return !marked, err
}

// release gives a claim back, but not while a mark is missing. A claim that is not given back ends
// with its lease.
func (s *sender) release(ctx context.Context, claim *auditstore.Claim) {
	if len(s.unmarked) > 0 {
		return
	}
	ctx, cancel := detach(ctx, storeTimeout)
	defer cancel()
	_ = claim.Release(ctx)
}

// errUntilNextClaim ends a delivery whose claim does not last for more, or whose target refuses
// everything. Nothing is wrong with what is left.
var errUntilNextClaim = errors.New("not under this claim")

// deliverUntil sends message after message until the end, or until the target refuses or fails. It
// says whether there is more to do. What cannot be read keeps nothing else from being sent.
func (s *sender) deliverUntil(
	ctx context.Context, end time.Time, waiting []string, open map[string]bool, urgent bool,
) (more bool, err error) {
	if !s.target.Mixed {
		if err := s.pauses.Read(ctx, time.Now()); err != nil {
			return false, err
		}
	}
	s.refused, s.requests = 0, 0
	for len(waiting) > 0 {
		n := s.countOfNext(waiting)
		alerts := s.gather(ctx, end, waiting[:n], open)
		waiting = waiting[n:]
		for _, group := range s.groups(alerts) {
			if err := s.deliverGroup(ctx, end, group, urgent); errors.Is(err, errUntilNextClaim) {
				return s.endClaim(ctx, s.refused < refusalsToPause)
			} else if err != nil {
				return false, err
			}
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return s.endClaim(ctx, true)
		}
	}
	return false, nil
}

// endClaim is how a delivery ends that has not come to its end. If nothing at all was sent
// meanwhile, the next will do no better.
func (s *sender) endClaim(ctx context.Context, more bool) (bool, error) {
	if ctx.Err() == nil && s.requests == 0 {
		return false, fmt.Errorf("the audit store is too slow: no alert could be read and sent in %s", s.dispatcher.options.lease/2)
	}
	return more, ctx.Err()
}

// countOfNext is how many of the waiting notices may be in the next message: those of the same kind
// and status as the first, or for Mixed targets of any kind, but never the end of a condition with
// its beginning.
func (s *sender) countOfNext(waiting []string) int {
	same, limit := classOf, len(waiting)
	if s.target.Mixed {
		same, limit = func(name string) string { return name[:min(len(rankResolved), len(name))] }, s.target.limit()
	}
	n := 1
	for n < min(limit, len(waiting)) && same(waiting[n]) == same(waiting[0]) {
		n++
	}
	return n
}

// groups divides alerts by their cause, unless the target is Mixed.
func (s *sender) groups(alerts []Alert) [][]Alert {
	if s.target.Mixed && len(alerts) > 0 {
		return [][]Alert{alerts}
	}
	var groups [][]Alert
	at := map[string]int{}
	for _, a := range alerts {
		i, known := at[a.cause()]
		if !known {
			i = len(groups)
			at[a.cause()], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], a)
	}
	return groups
}

// deliverGroup sends the alerts of one cause, in one message if the target takes that, unless it
// has heard enough of the cause for now: then they wait, and are in the next message.
func (s *sender) deliverGroup(ctx context.Context, end time.Time, group []Alert, urgent bool) error {
	if s.target.Mixed {
		_, err := s.sendAll(ctx, end, group)
		return err
	}
	if !urgent && s.isPaused(group[0], time.Now()) {
		return nil
	}
	sent, err := s.sendAll(ctx, end, group)
	if sent && !s.isQuiet(group[0]) && (err == nil || errors.Is(err, errUntilNextClaim)) {
		if pauseErr := s.beginPause(ctx, group[0].cause()); pauseErr != nil {
			return pauseErr
		}
	}
	return err
}

// sendAll sends alerts, as many at once as the target takes, and marks each. Of several that it
// refuses one may be at fault: it is found by halves, so that it holds up no other.
func (s *sender) sendAll(ctx context.Context, end time.Time, alerts []Alert) (sent bool, err error) {
	size := s.target.limit()
	for len(alerts) > 0 {
		if ctx.Err() != nil || time.Now().After(end) {
			return sent, errUntilNextClaim
		}
		batch := alerts[:min(size, len(alerts))]
		err := s.send(ctx, batch)
		switch {
		case err == nil:
			sent, s.refused, alerts = true, 0, alerts[len(batch):]
			if err := s.writeMarks(ctx); err != nil {
				return sent, err
			}
			size = min(2*size, s.target.limit())
		case !jsonpost.Refused(err):
			return sent, err
		case jsonpost.RefusesAll(err):
			s.refusals, s.refused = append(s.refusals, err), refusalsToPause
			s.putOff()
			return sent, errUntilNextClaim
		case len(batch) > 1:
			size = len(batch) / 2
		default:
			s.postpone(batch[0], err)
			if s.refused++; s.refused == refusalsToPause {
				s.putOff()
				return sent, errUntilNextClaim
			}
			alerts = alerts[1:]
		}
	}
	return sent, nil
}

// send makes one request. It is not interrupted, because then nobody would know whether the request
// arrived.
func (s *sender) send(ctx context.Context, batch []Alert) error {
	ctx, cancel := detach(ctx, SendTimeout)
	defer cancel()
	s.requests++
	err := s.target.Send(ctx, batch)
	result := Delivered
	switch {
	case jsonpost.Refused(err):
		result = Refused
	case err != nil:
		result = Failed
	}
	now := time.Now()
	for _, a := range batch {
		if err == nil {
			s.setDelivered(a.noticeName(), now)
			s.unmarked[a.noticeName()] = a
		}
		if onDelivery := s.dispatcher.options.OnDelivery; onDelivery != nil {
			onDelivery(s.target.Name, a.Kind, result)
		}
	}
	return err
}

// writeMarks records in the audit store what was sent, each alert by itself.
//
// A crash before a mark is written makes the next holder of the claim send that alert again, in one
// message with the others of its cause that have no mark; a crash after it changes nothing.
func (s *sender) writeMarks(ctx context.Context) error {
	ctx, cancel := detach(ctx, storeTimeout)
	defer cancel()
	var mu sync.Mutex
	var marked []string
	var group errgroup.Group
	group.SetLimit(atOnce)
	for name, a := range s.unmarked {
		group.Go(func() error {
			data, err := deliveryRecord(a)
			if err == nil {
				err = s.box.MarkDelivered(ctx, s.target.Name, name, data)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				marked = append(marked, name)
			}
			return err
		})
	}
	err := group.Wait()
	for _, name := range marked {
		delete(s.unmarked, name)
	}
	return err
}

// postpone leaves an alert that was refused for a later round.
func (s *sender) postpone(a Alert, refusal error) {
	s.notBefore[a.noticeName()] = time.Now().Add(jitter(s.dispatcher.options.retry.refused))
	s.refusals = append(s.refusals, refusal)
}

// detach is for what must be finished although its caller was told to stop.
func detach(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}
