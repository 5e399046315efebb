package alert

import (
	"context"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

const (
	// storeTimeout bounds writing down what was delivered.
	storeTimeout = 15 * time.Second
	// refusalsToPause is how many refusals in a row show that the target is at fault and not an
	// alert.
	refusalsToPause = 3
	// maxPerRound is how many alerts a round that is not urgent sends at most. Before the first is
	// sent, the audit store is asked for the mark of each, which in a flood would take minutes; and
	// the next round sees what was raised meanwhile.
	maxPerRound = 200
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
	return s.deliverUntil(ctx, end, waiting, open)
}

// undelivered returns the names of what is to be sent now, the worst first, as far as this is known
// without a claim.
func (s *sender) undelivered(ctx context.Context, names []string, urgent bool) ([]string, error) {
	now := time.Now()
	var waiting []string
	for _, name := range names {
		if len(waiting) == maxPerRound && !urgent {
			break
		}
		if s.has(name) || !urgent && now.Before(s.notBefore[name]) {
			continue
		}
		marked, err := s.isMarked(ctx, name)
		if err != nil {
			return nil, err
		}
		if !marked {
			waiting = append(waiting, name)
		}
	}
	return waiting, nil
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

// deliverUntil sends batch after batch until the end, or until the target refuses or fails. It says
// whether there is more to do.
func (s *sender) deliverUntil(ctx context.Context, end time.Time, waiting []string, open map[string]bool) (more bool, err error) {
	size, refusedInARow, sent := s.target.Batch, 0, false
	for len(waiting) > 0 {
		if ctx.Err() != nil || time.Now().After(end) {
			return true, ctx.Err()
		}
		batch, rest, err := s.nextBatch(ctx, end, waiting, open, size)
		if err != nil && sent && time.Now().After(end) {
			return true, ctx.Err() // the time is over, and nothing is wrong
		}
		if err != nil || len(batch) == 0 {
			return false, err
		}
		err, sent = s.send(ctx, batch), true
		switch {
		case err == nil:
			refusedInARow, waiting = 0, rest
			if err := s.writeMarks(ctx); err != nil {
				return false, err
			}
		case !jsonpost.Refused(err):
			return false, err
		case len(batch) > 1:
			size = 1 // only one of them may be at fault: send each by itself
		default:
			s.postpone(batch[0], err)
			if refusedInARow++; refusedInARow == refusalsToPause {
				s.next = time.Now().Add(jitter(s.dispatcher.options.retry.refused))
				return false, nil
			}
			waiting = rest
		}
	}
	return false, nil
}

// nextBatch loads the next alerts to send, up to size, and returns the names after them. Alerts
// loaded before an error are sent first; the error comes back with the next batch. It gives up at
// the end, so that a store that hangs cannot delay a request until another process has the claim.
func (s *sender) nextBatch(ctx context.Context, end time.Time, names []string, open map[string]bool, size int) (batch []Alert, rest []string, err error) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	for i, name := range names {
		if len(batch) == size {
			return batch, names[i:], nil
		}
		a, state, err := s.check(ctx, name, open)
		if len(batch) > 0 && (err != nil || state == afterBeginning) {
			return batch, names[i:], nil
		}
		if err != nil {
			return nil, nil, err
		}
		if state == ready {
			batch = append(batch, a)
		}
	}
	return batch, nil, nil
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
	marked, err := s.isMarked(ctx, name)
	if err != nil || marked {
		return Alert{}, nothingToSend, err
	}
	return a, ready, nil
}

// isMarked reports whether any process has recorded that the target has a notice.
func (s *sender) isMarked(ctx context.Context, name string) (bool, error) {
	marked, err := s.box.Delivered(ctx, s.target.Name, name)
	if marked {
		s.setDelivered(name, time.Time{})
	}
	return marked, err
}

// send makes one request. It is not interrupted, because then nobody would know whether the request
// arrived.
func (s *sender) send(ctx context.Context, batch []Alert) error {
	ctx, cancel := detach(ctx, jsonpost.Timeout)
	defer cancel()
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

// writeMarks records in the audit store what was sent.
//
// A crash before a mark is written makes the next holder of the claim send that alert again; a
// crash after it changes nothing.
func (s *sender) writeMarks(ctx context.Context) error {
	ctx, cancel := detach(ctx, storeTimeout)
	defer cancel()
	for name, a := range s.unmarked {
		data, err := deliveryRecord(a)
		if err == nil {
			err = s.box.MarkDelivered(ctx, s.target.Name, name, data)
		}
		if err != nil {
			return err
		}
		delete(s.unmarked, name)
	}
	return nil
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
