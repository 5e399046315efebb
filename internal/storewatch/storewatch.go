package storewatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/rs/zerolog"
)

const (
	// The store is asked five times before it is told of, and at least once a minute.
	asksBefore       = 5
	fastest, slowest = 10 * time.Millisecond, time.Minute
	// askTimeout bounds one question, sendTimeout one round of messages.
	askTimeout, sendTimeout = 30 * time.Second, 30 * time.Second
)

// Watch says which store is watched, and whom to tell.
type Watch struct {
	Store      *auditstore.Store
	Namespaces []string // each gets an alert of its own
	Targets    []alert.Target
	// After is how long the store must have refused every write. 0 means not to watch.
	After time.Duration
	// OnTrial, if not nil, is called after each write that was tried with the time since when all
	// have failed, which is zero if it went well.
	OnTrial func(since time.Time)
	Log     zerolog.Logger
}

// watch is a Watch at work.
type watch struct {
	Watch
	pending chan error // of a question that is not answered yet: a local disk may hang for ever
	since   time.Time  // when the store was first found unwritable; zero: it is not
	reason  error      // what it said last
	firing  notice     // that it cannot be written
	over    notice     // and that this has ended
}

// notice is an alert for each namespace, with the targets that do not have it yet.
type notice struct {
	alerts []alert.Alert
	left   [][]alert.Target
}

// Run watches until ctx ends.
func (c Watch) Run(ctx context.Context) {
	if c.After <= 0 {
		return
	}
	w := &watch{Watch: c}
	every := min(max(c.After/asksBefore, fastest), slowest)
	for wait.For(ctx, every) == nil {
		err := w.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		w.note(err, time.Now())
		if w.OnTrial != nil {
			w.OnTrial(w.since)
		}
		w.send(ctx)
	}
}

// errHangs says that the store has not answered.
var errHangs = errors.New("the audit store does not answer a write")

// ask tries a write. One that hangs is waited for, and no further one begun.
func (w *watch) ask(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if w.pending == nil {
		answer := make(chan error, 1)
		w.pending = answer
		go func() { answer <- w.Store.CheckWritable(asking) }()
	}
	select {
	case err := <-w.pending:
		w.pending = nil
		return err
	case <-asking.Done():
		return errHangs
	}
}

// note takes in what came of a write.
func (w *watch) note(err error, now time.Time) {
	switch {
	case err != nil && w.since.IsZero():
		w.since, w.reason = now, err
		w.Log.Error().Err(err).Msg("the audit store cannot be written: no verdict is recorded, and no alert sent, until it can")
	case err != nil:
		w.reason = err
	case !w.since.IsZero():
		w.Log.Info().Time("since", w.since).Msg("the audit store can be written again")
		w.over = notice{}
		for i, a := range w.firing.alerts {
			if recipients := w.recipients(i); len(recipients) > 0 {
				a.ResolvedAt = now
				w.over.alerts, w.over.left = append(w.over.alerts, a), append(w.over.left, recipients)
			}
		}
		w.since, w.firing = time.Time{}, notice{}
	}
	if err != nil && now.Sub(w.since) >= w.After && w.firing.alerts == nil {
		for _, namespace := range w.Namespaces {
			w.firing.alerts = append(w.firing.alerts, unwritable(namespace, w.since, w.reason))
			w.firing.left = append(w.firing.left, w.Targets)
		}
		w.over = notice{} // of the time before, if anybody still lacks it
	}
}

// recipients returns the targets that have the i-th alert, and so are to hear that it is over.
func (w *watch) recipients(i int) []alert.Target {
	lacking := map[string]bool{}
	for _, t := range w.firing.left[i] {
		lacking[t.Name] = true
	}
	var recipients []alert.Target
	for _, t := range w.Targets {
		if !lacking[t.Name] {
			recipients = append(recipients, t)
		}
	}
	return recipients
}

// send sends what targets lack. It is tried again in the next round.
func (w *watch) send(ctx context.Context) {
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	for _, n := range []*notice{&w.firing, &w.over} {
		for i, a := range n.alerts {
			if len(n.left[i]) == 0 {
				continue
			}
			var err error
			if n.left[i], err = sendDirectly(sending, n.left[i], a); err != nil && ctx.Err() == nil {
				w.Log.Warn().Err(err).Msg("an alert on the audit store was not delivered; it is tried again")
			}
		}
	}
}

// unwritable is the alert on an audit store that could not be written since some time. It is
// named for the hour, so that it is the same one whoever notices it.
func unwritable(namespace string, since time.Time, last error) alert.Alert {
	return alert.Alert{
		Kind: alert.StoreUnwritable, Namespace: namespace, At: since.UTC(), Detail: last.Error(),
		Incident: fmt.Sprintf("%s/%s", alert.StoreUnwritable, since.UTC().Format("2006-01-02t15")),
		Summary:  "the audit store has not taken a write since " + since.UTC().Format(time.RFC3339) + ": no verdict on " + namespace + " is recorded, and no other alert is sent",
	}
}
