package alert

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert/pauses"
	"github.com/rs/zerolog"
)

const (
	defaultEvery = 5 * time.Second
	// defaultLease is how long a claim lasts: longer than a dispatcher sends under it (see
	// sender.deliver).
	defaultLease = time.Minute
)

// Options say what a Dispatcher does. Store and Namespaces are required.
type Options struct {
	Store      *auditstore.Store
	Namespaces []string
	Targets    []Target // besides the log, which is always one
	Log        zerolog.Logger
	Every      time.Duration // how often the outbox is listed; 5 s if zero

	// OnDelivery, if set, is called after each attempt to send an alert, repetitions excepted.
	OnDelivery func(target string, kind Kind, result Result)
	// OnPass, if set, is called after each pass with what some target does not have yet. It is
	// called from several goroutines, one for each namespace.
	OnPass func(namespace string, p Pending)

	lease  time.Duration   // for tests
	retry  retryTimes      // for tests
	pauses []time.Duration // for tests
	gather time.Duration   // for tests
}

// Pending counts the alerts of a namespace that some target does not have yet, but for those that
// wait for their cause's next message. The ends of conditions count as warnings. Oldest is since
// when the oldest of them lasts, zero if there is none.
type Pending struct {
	Critical, Warning int
	Oldest            time.Time
}

// Result is what came of an attempt to deliver an alert.
type Result string

// The results.
const (
	Delivered Result = "delivered" // the target has the alert
	Failed    Result = "failed"    // the target may accept it later
	Refused   Result = "refused"   // it will not: the target's configuration needs attention
)

// Dispatcher sends what is in the outbox. Any number may run at once, in any number of processes.
type Dispatcher struct {
	namespaces []*namespaceDispatcher
}

// NewDispatcher returns a dispatcher, or says what is wrong with the options.
func NewDispatcher(o Options) (*Dispatcher, error) {
	o.Targets = append([]Target{logTarget(o.Log)}, o.Targets...)
	seen := map[string]bool{}
	for _, t := range o.Targets {
		switch {
		case t.Send == nil || t.Batch < 0:
			return nil, fmt.Errorf("alert target %q: made without a constructor", t.Name)
		case seen[t.Name]:
			return nil, fmt.Errorf("two alert targets have the name %s: give one of them another name or address", t.Name)
		}
		seen[t.Name] = true
	}
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.lease == 0 {
		o.lease = defaultLease
	}
	if o.gather == 0 {
		o.gather = gatherTime
	}
	if o.pauses == nil {
		o.pauses = pauses.Default
	}
	o.retry = o.retry.withDefaults()
	d := &Dispatcher{}
	for _, namespace := range o.Namespaces {
		d.namespaces = append(d.namespaces, newNamespaceDispatcher(o, namespace))
	}
	return d, nil
}

// Run sends until the context ends, and returns nil then. It first finishes, within seconds, what
// is being sent at that moment, so that nobody sends it again.
func (d *Dispatcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, n := range d.namespaces {
		wg.Go(func() { n.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Flush sends what is open now, even to targets whose next attempt is later, and returns when every
// target has it or has failed once. The error says what is left.
func (d *Dispatcher) Flush(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(d.namespaces))
	for i, n := range d.namespaces {
		wg.Go(func() { errs[i] = n.flush(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
