package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/rs/zerolog"
)

const (
	// maxPause is the longest pause between two passes while the audit store fails.
	maxPause = time.Minute
	// maxRepeated is how many notices may be open before facts are no longer kept open only to be
	// repeated.
	maxRepeated = 1000
	// FactActiveFor is for how long a fact, which never ends by itself, is repeated to targets that
	// want that. Meanwhile Alertmanager reminds people at its own intervals, and they can silence
	// it there.
	FactActiveFor = 7 * 24 * time.Hour
	// repeatEndFor is how long the end of a condition is repeated, in case a late repetition of the
	// condition overtakes it.
	repeatEndFor = 15 * time.Minute
)

// namespaceDispatcher sends the alerts of one namespace. Each target has a sender of its own, so
// that one that hangs delays no other.
type namespaceDispatcher struct {
	options   Options
	namespace string
	box       auditstore.Outbox
	log       zerolog.Logger
	senders   []*sender
	sending   sync.WaitGroup

	mu         sync.Mutex
	alerts     map[string]Alert // in open notices, by the notice's name; they never change
	unreadable map[string]bool  // notices that the log has mentioned
}

func newNamespaceDispatcher(o Options, namespace string) *namespaceDispatcher {
	n := &namespaceDispatcher{
		options: o, namespace: namespace, box: o.Store.Outbox(namespace),
		log:    o.Log.With().Str("namespace", namespace).Logger(),
		alerts: map[string]Alert{}, unreadable: map[string]bool{},
	}
	for _, t := range o.Targets {
		n.senders = append(n.senders, newSender(n, t))
	}
	return n
}

func (n *namespaceDispatcher) run(ctx context.Context) {
	defer n.sending.Wait()
	pause := n.options.Every
	for ctx.Err() == nil {
		names, err := n.list(ctx)
		if err == nil {
			err = n.closeFinished(ctx, names, time.Now().Add(n.options.Every))
			n.startSenders(ctx, names)
		}
		switch {
		case err == nil:
			pause = n.options.Every
		case ctx.Err() == nil:
			pause = max(n.options.Every, min(2*pause, maxPause))
			n.log.Error().Err(err).Float64("next_attempt_seconds", pause.Seconds()).
				Msg("the outbox in the audit store cannot be read or written: alerts may be late")
		}
		// The jitter makes dispatchers that started together drift apart.
		_ = wait.For(ctx, time.Duration(float64(pause)*(0.75+rand.Float64()/2)))
	}
}

// startSenders starts a round of each sender that is not still in its last one.
func (n *namespaceDispatcher) startSenders(ctx context.Context, names []string) {
	for _, s := range n.senders {
		if !s.busy.TryLock() {
			continue
		}
		n.sending.Go(func() {
			defer s.busy.Unlock()
			_ = s.round(ctx, names, false) // a sender logs what fails
		})
	}
}

// flush runs an urgent round of each sender, and again while another process sends to a target.
func (n *namespaceDispatcher) flush(ctx context.Context) error {
	for {
		names, err := n.list(ctx)
		if err != nil {
			return err
		}
		errs := make([]error, len(n.senders))
		var wg sync.WaitGroup
		for i, s := range n.senders {
			wg.Go(func() {
				s.busy.Lock()
				defer s.busy.Unlock()
				errs[i] = s.round(ctx, names, true)
			})
		}
		wg.Wait()
		claimed := false
		for i, err := range errs {
			if errors.Is(err, auditstore.ErrClaimed) && ctx.Err() == nil {
				claimed, errs[i] = true, nil
			}
		}
		err = errors.Join(append(errs, n.closeFinished(ctx, names, time.Time{}), ctx.Err())...)
		if err != nil || !claimed {
			return err
		}
		_ = wait.For(ctx, n.options.retry.claimed/2+rand.N(n.options.retry.claimed))
	}
}

// list returns the names of the open notices and forgets those that have gone.
func (n *namespaceDispatcher) list(ctx context.Context) ([]string, error) {
	names, err := n.box.Open(ctx)
	if err != nil {
		return nil, err
	}
	open := setOf(names)
	n.mu.Lock()
	for name := range n.alerts {
		if !open[name] {
			delete(n.alerts, name)
		}
	}
	n.mu.Unlock()
	for _, s := range n.senders {
		s.forget(open)
	}
	return names, nil
}

// closeFinished closes the notices on which nothing is left to do, and counts the others. A notice
// is closed as soon as each sender knows that its target has it, even if a mark is still missing:
// from then on the closed notice stands for the mark. What is not closed by the deadline, unless
// that is zero, is closed in the next pass, so that new alerts need not wait.
func (n *namespaceDispatcher) closeFinished(ctx context.Context, names []string, deadline time.Time) error {
	open := setOf(names)
	var pending Pending
	var errs []error
	for _, name := range names {
		if !n.deliveredToAll(name) {
			if !n.waitsOnPurpose(name) {
				n.count(&pending, name)
			}
			continue
		}
		if !deadline.IsZero() && time.Now().After(deadline) {
			continue
		}
		closed, err := n.closeIfFinished(ctx, name, open)
		if err != nil {
			errs = append(errs, err)
		}
		if closed {
			delete(open, name)
		}
	}
	if n.options.OnPass != nil {
		n.options.OnPass(n.namespace, pending)
	}
	return errors.Join(errs...)
}

// deliveredToAll reports whether each target is known to have a notice.
func (n *namespaceDispatcher) deliveredToAll(name string) bool {
	return !slices.ContainsFunc(n.senders, func(s *sender) bool { return !s.has(name) })
}

// waitsOnPurpose reports whether a notice is kept back only from targets that were told of its
// cause and hear no more of it for now: no target is at fault.
func (n *namespaceDispatcher) waitsOnPurpose(name string) bool {
	now := time.Now()
	return !slices.ContainsFunc(n.senders, func(s *sender) bool { return !s.has(name) && !s.isKnownPaused(name, now) })
}

// count adds an open notice to p.
func (n *namespaceDispatcher) count(p *Pending, name string) {
	if strings.HasPrefix(name, rankCritical) {
		p.Critical++
	} else {
		p.Warning++
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, known := n.alerts[name]; known && (p.Oldest.IsZero() || a.At.Before(p.Oldest)) {
		p.Oldest = a.At
	}
}

// closeIfFinished closes a notice that all targets have, unless it must stay open.
//
// A crash between keeping the record and removing the notice leaves both; whoever loads the notice
// next closes it again.
func (n *namespaceDispatcher) closeIfFinished(ctx context.Context, name string, open map[string]bool) (closed bool, err error) {
	a, ok, err := n.load(ctx, name)
	if err != nil || !ok || n.staysOpen(a, open, time.Now()) {
		return false, err
	}
	data, err := deliveryRecord(a)
	if err == nil {
		err = n.box.Close(ctx, name, data)
	}
	return err == nil, err
}

// staysOpen reports whether a notice that all targets have stays open: a condition until its end is
// raised, the end of a condition until the condition itself is closed, and what some target wants
// repeated for as long as it is.
func (n *namespaceDispatcher) staysOpen(a Alert, open map[string]bool, now time.Time) bool {
	repeats := slices.ContainsFunc(n.senders, func(s *sender) bool { return s.target.Repeat > 0 })
	switch {
	case a.Resolved():
		return open[a.beginningName()] || repeats && now.Before(a.ResolvedAt.Add(repeatEndFor))
	case a.Kind.Ends():
		return !open[a.endName()]
	default:
		return repeats && now.Before(a.At.Add(FactActiveFor)) && len(open) <= maxRepeated
	}
}

// load returns the alert in an open notice. It returns false if there is nothing to send: a
// dispatcher has closed the notice, or it cannot be read, which is logged once.
// Several may load at once, also the same one.
func (n *namespaceDispatcher) load(ctx context.Context, name string) (a Alert, ok bool, err error) {
	if a, ok := n.loaded(name); ok {
		return a, true, nil
	}
	record, err := n.box.Closed(ctx, name)
	if err == nil { // raised again a moment after it was closed, or the closing crashed half-way
		return Alert{}, false, n.box.Close(ctx, name, record)
	}
	if !errors.Is(err, auditstore.ErrNotFound) {
		return Alert{}, false, err
	}
	a, err = n.read(ctx, name)
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
		return Alert{}, false, nil
	case errors.Is(err, auditstore.ErrCorrupt):
		n.logUnreadable(name, err)
		return Alert{}, false, nil
	case err != nil:
		return Alert{}, false, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alerts[name] = a
	return a, true, nil
}

// loaded returns the alert in an open notice that was loaded before.
func (n *namespaceDispatcher) loaded(name string) (Alert, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.alerts[name]
	return a, ok
}

// read reads an open notice.
func (n *namespaceDispatcher) read(ctx context.Context, name string) (Alert, error) {
	data, err := n.box.Notice(ctx, name)
	if err != nil {
		return Alert{}, err
	}
	a, err := decode(n.namespace, name, data)
	if err != nil {
		return Alert{}, fmt.Errorf("%w: %w", auditstore.ErrCorrupt, err)
	}
	return a, nil
}

func (n *namespaceDispatcher) logUnreadable(name string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unreadable[name] {
		return
	}
	n.unreadable[name] = true
	n.log.Error().Err(err).Str("notice", name).
		Msg("an alert cannot be read and is not sent: inspect its notice in the audit store")
}

// deliveryRecord is what is written when a notice is delivered or closed: the alert, and when that
// was.
func deliveryRecord(a Alert) ([]byte, error) {
	return json.Marshal(struct {
		Alert
		RecordedAt time.Time `json:"recorded_at"`
	}{a, time.Now().UTC()})
}
