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
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert/pauses"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/rs/zerolog"
)

// retryTimes say when a target is tried again.
type retryTimes struct {
	first, longest time.Duration // after a failure that may pass: from first, doubling, to longest
	refused        time.Duration // after an answer that will be the same next time
	claimed        time.Duration // when another process sends
}

func (r retryTimes) withDefaults() retryTimes {
	if r == (retryTimes{}) {
		return retryTimes{
			first: 2 * time.Second, longest: 5 * time.Minute,
			refused: 15 * time.Minute, claimed: 500 * time.Millisecond,
		}
	}
	return r
}

// failuresToError is from which failure in a row it is an error in the log and not a warning.
const failuresToError = 3

// sender sends the alerts of one namespace to one target. What happens under a claim is in
// delivery.go.
type sender struct {
	dispatcher *namespaceDispatcher
	target     Target
	box        auditstore.Outbox
	log        zerolog.Logger

	busy sync.Mutex // held during a round, which owns the fields down to requests

	unmarked   map[string]Alert     // sent, but the mark could not be written
	notBefore  map[string]time.Time // when what was refused or could not be read is tried again
	unreadable map[string]int       // how many times a notice could not be read
	next       time.Time            // nothing is tried before
	delays     *backoff.ExponentialBackOff
	failures   int     // failed rounds in a row
	refusals   []error // of this round
	unread     []error // what could not be read in this round
	refused    int     // refusals of single alerts in a row
	requests   int     // under this claim

	pauses *pauses.Pauses

	mu        sync.Mutex
	delivered map[string]time.Time // what the target has; when this process last sent it, or zero
}

func newSender(n *namespaceDispatcher, t Target) *sender {
	delays := backoff.NewExponentialBackOff() // with jitter
	delays.InitialInterval, delays.MaxInterval = n.options.retry.first, n.options.retry.longest
	delays.Multiplier = 2
	return &sender{
		dispatcher: n, target: t, box: n.box, delays: delays,
		log:      n.log.With().Str("target", t.Name).Logger(),
		unmarked: map[string]Alert{}, notBefore: map[string]time.Time{}, unreadable: map[string]int{}, delivered: map[string]time.Time{},
		pauses: pauses.New(n.options.Store.Folder(n.namespace, pauses.Folder), t.Name, n.options.pauses),
	}
}

// round delivers what the target does not have, then repeats what it wants repeated. An urgent
// round ignores when the next attempt would be, and goes on until nothing is left or something
// fails.
func (s *sender) round(ctx context.Context, names []string, urgent bool) error {
	if !urgent && time.Now().Before(s.next) {
		return nil
	}
	open := setOf(names)
	for name := range s.notBefore {
		if !open[name] {
			delete(s.notBefore, name)
			delete(s.unreadable, name)
		}
	}
	s.refusals, s.unread = nil, nil
	more, err := true, error(nil)
	for more && err == nil {
		more, err = s.deliver(ctx, names, open, urgent)
		more = more && urgent
	}
	if err == nil && time.Now().After(s.next) { // a target that was just put off is left alone
		err = s.repeat(ctx, names, open)
	}
	if errors.Is(err, auditstore.ErrClaimed) || ctx.Err() != nil {
		return err
	}
	return s.finishRound(err)
}

// finishRound decides when the next round is, and logs what went wrong in this one.
func (s *sender) finishRound(err error) error {
	level, message := zerolog.ErrorLevel, "alerts were not delivered: they stay in the audit store and are sent again"
	switch {
	case err != nil:
		s.failures++
		delay := s.delays.NextBackOff()
		if e, ok := errors.AsType[*jsonpost.RetryAfterError](err); ok {
			delay = max(delay, e.Pause)
		}
		s.next = time.Now().Add(delay)
		if s.failures < failuresToError && len(s.refusals) == 0 {
			level = zerolog.WarnLevel
		}
	default: // what was refused or is unreadable waits by itself, and delays nothing else
		s.failures = 0
		s.delays.Reset()
		switch {
		case len(s.refusals)+len(s.unread) == 0:
			return nil
		case len(s.refusals) == 0: // a read that fails passes, or a dispatcher says that it cannot be read
			level = zerolog.WarnLevel
		}
	}
	if len(s.refusals) > 0 {
		message = "alerts were not delivered: the target refuses them; check its address and secret"
	}
	err = fmt.Errorf("alerts of %s to %s: %w", s.dispatcher.namespace, s.target.Name,
		errors.Join(slices.Concat(s.refusals, s.unread, []error{err})...))
	s.log.WithLevel(level).Err(err).Int("refused", len(s.refusals)).Int("unreadable", len(s.unread)).
		Float64("next_attempt_seconds", max(0, time.Until(s.next).Seconds())).Msg(message)
	return err
}

// putOff leaves a target that refuses whatever is sent for a later round.
func (s *sender) putOff() { s.next = time.Now().Add(jitter(s.dispatcher.options.retry.refused)) }

// repeat sends again what the target has and may forget. Several processes may do so at once.
func (s *sender) repeat(ctx context.Context, names []string, open map[string]bool) error {
	if s.target.Repeat == 0 {
		return nil
	}
	now := time.Now()
	var due []Alert
	for _, name := range names {
		s.mu.Lock()
		last, has := s.delivered[name]
		s.mu.Unlock()
		if !has || now.Sub(last) < s.target.Repeat {
			continue
		}
		a, ok, err := s.dispatcher.load(ctx, name)
		if err != nil {
			return err
		}
		if ok && (a.Resolved() || !open[a.endName()]) {
			due = append(due, a)
		}
	}
	for batch := range slices.Chunk(due, s.target.limit()) {
		if err := s.target.Send(ctx, batch); err != nil {
			err = fmt.Errorf("repeating what is open: %w", err)
			if jsonpost.Refused(err) {
				s.refusals = append(s.refusals, err)
				s.putOff()
				return nil
			}
			return err
		}
		for _, a := range batch {
			s.setDelivered(a.noticeName(), now)
		}
	}
	return nil
}

// has reports whether the target is known to have a notice.
func (s *sender) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.delivered[name]
	return ok
}

func (s *sender) setDelivered(name string, sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered[name] = sent
}

// forget drops what is known of notices that are no longer open.
func (s *sender) forget(open map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.delivered {
		if !open[name] {
			delete(s.delivered, name)
		}
	}
}

func jitter(d time.Duration) time.Duration { return d - d/8 + rand.N(max(d/4, 1)) }
