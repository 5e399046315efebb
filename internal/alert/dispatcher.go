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

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/rs/zerolog"
)

const (
	defaultEvery = 5 * time.Second
	// slowest is the longest pause between two passes while the audit store fails.
	slowest = time.Minute
	// defaultLease is how long a claim lasts: longer than a dispatcher goes on under it (see lane).
	defaultLease = time.Minute
	storeTimeout = 15 * time.Second // of writing down what was delivered
	// maxHeld is how many notices may be open before facts are no longer held for the sake of repeating them.
	maxHeld = 1000
)

// Options say what a Dispatcher does. Store and Namespaces are required.
type Options struct {
	Store      *blobstore.Store
	Namespaces []string
	Targets    []Target // besides the log, which is always one
	Log        zerolog.Logger
	Every      time.Duration // how often the outbox is looked at; 5 s if zero

	// OnDelivery, if set, is told of each attempt to send an alert; repetitions don't count.
	OnDelivery func(target string, kind Kind, result Result)
	// OnPass, if set, is told what some target has not got yet. It is called from several goroutines, one for each namespace.
	OnPass func(namespace string, p Pending)

	lease time.Duration // for tests
	retry retryTimes    // for tests
}

// Pending counts the alerts of a namespace that some target has not got yet, the ends of conditions among the warnings, and says
// since when the oldest of them waits (zero if there is none).
type Pending struct {
	Critical, Warning int
	Oldest            time.Time
}

// Result of an attempt to deliver an alert.
type Result string

// The results: a target has the alert; it may have it later; it answered that it will not take it, so that someone must look at
// the target's configuration.
const (
	Delivered Result = "delivered"
	Failed    Result = "failed"
	Refused   Result = "refused"
)

// Dispatcher sends what is in the outbox. Any number may run at once, in any number of processes.
type Dispatcher struct {
	options Options
	feeds   []*feed
}

// NewDispatcher checks the options.
func NewDispatcher(o Options) (*Dispatcher, error) {
	o.Targets = append([]Target{logTarget(o.Log)}, o.Targets...)
	seen := map[string]bool{}
	for _, t := range o.Targets {
		switch {
		case t.send == nil:
			return nil, errors.New("alert target: not made by one of the constructors")
		case seen[t.name]:
			return nil, fmt.Errorf("two alert targets are %s: give each another address or name", t.name)
		}
		seen[t.name] = true
	}
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.lease == 0 {
		o.lease = defaultLease
	}
	o.retry = o.retry.withDefaults()
	d := &Dispatcher{options: o}
	for _, namespace := range o.Namespaces {
		f := &feed{options: o, namespace: namespace, box: o.Store.Outbox(namespace), alerts: map[string]Alert{}, broken: map[string]bool{}}
		for _, t := range o.Targets {
			f.lanes = append(f.lanes, newLane(f, t))
		}
		d.feeds = append(d.feeds, f)
	}
	return d, nil
}

// Run sends until the context ends, and returns nil then. What is being sent at that moment is finished first, within seconds,
// so that it is not sent again by the next.
func (d *Dispatcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, f := range d.feeds {
		wg.Go(func() { f.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Flush sends what is open now, whenever the next attempt would be, and returns when every target has it or has failed once.
// The error says what is left.
func (d *Dispatcher) Flush(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(d.feeds))
	for i, f := range d.feeds {
		wg.Go(func() { errs[i] = f.flush(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// feed dispatches one namespace. Each of its targets is served on its own, so that one that hangs delays no other.
type feed struct {
	options   Options
	namespace string
	box       blobstore.Outbox
	lanes     []*lane
	serving   sync.WaitGroup

	mu     sync.Mutex
	alerts map[string]Alert // by name, of open notices; they never change
	broken map[string]bool  // notices that were complained of
}

func (f *feed) run(ctx context.Context) {
	defer f.serving.Wait()
	pause := f.options.Every
	for ctx.Err() == nil {
		names, err := f.list(ctx)
		if err == nil {
			err = f.settle(ctx, names, time.Now().Add(f.options.Every))
			f.serve(ctx, names)
		}
		switch {
		case err == nil:
			pause = f.options.Every
		case ctx.Err() == nil:
			pause = max(f.options.Every, min(2*pause, slowest))
			f.options.Log.Error().Err(err).Str("namespace", f.namespace).Msg("alerts cannot be looked up in the audit store")
		}
		// Dispatchers that started together drift apart.
		wait(ctx, time.Duration(float64(pause)*(0.75+rand.Float64()/2)))
	}
}

// serve starts each lane that is not still at its last round.
func (f *feed) serve(ctx context.Context, names []string) {
	for _, l := range f.lanes {
		if !l.busy.TryLock() {
			continue
		}
		f.serving.Go(func() {
			defer l.busy.Unlock()
			_ = l.round(ctx, names, false) // a lane logs what fails
		})
	}
}

func (f *feed) flush(ctx context.Context) error {
	for {
		names, err := f.list(ctx)
		if err != nil {
			return err
		}
		errs := make([]error, len(f.lanes))
		var wg sync.WaitGroup
		for i, l := range f.lanes {
			wg.Go(func() {
				l.busy.Lock()
				defer l.busy.Unlock()
				errs[i] = l.round(ctx, names, true)
			})
		}
		wg.Wait()
		claimed := false
		for i, err := range errs {
			if errors.Is(err, blobstore.ErrClaimed) && ctx.Err() == nil {
				claimed, errs[i] = true, nil
			}
		}
		err = errors.Join(append(errs, f.settle(ctx, names, time.Time{}), ctx.Err())...)
		if err != nil || !claimed {
			return err
		}
		wait(ctx, f.options.retry.claimed/2+rand.N(f.options.retry.claimed))
	}
}

// list returns the names of the open notices and forgets those that have gone.
func (f *feed) list(ctx context.Context) ([]string, error) {
	names, err := f.box.Open(ctx)
	if err != nil {
		return nil, err
	}
	open := setOf(names)
	f.mu.Lock()
	for name := range f.alerts {
		if !open[name] {
			delete(f.alerts, name)
		}
	}
	f.mu.Unlock()
	for _, l := range f.lanes {
		l.forget(open)
	}
	return names, nil
}

// settle closes the notices on which nothing is left to do. A notice of which a lane knows that its target has it is closed
// even if the lane's mark is missing: from here on the closed notice stands for the mark. What is not closed by the time of until,
// unless that is zero, has its turn in the next pass: alerts that came up meanwhile are not to wait for it.
func (f *feed) settle(ctx context.Context, names []string, until time.Time) error {
	open := setOf(names)
	var pending Pending
	var errs []error
	for _, name := range names {
		if slices.ContainsFunc(f.lanes, func(l *lane) bool { return !l.has(name) }) {
			if strings.HasPrefix(name, rankCritical) {
				pending.Critical++
			} else {
				pending.Warning++
			}
			f.mu.Lock()
			if a, known := f.alerts[name]; known && (pending.Oldest.IsZero() || a.At.Before(pending.Oldest)) {
				pending.Oldest = a.At
			}
			f.mu.Unlock()
			continue
		}
		if !until.IsZero() && time.Now().After(until) {
			continue
		}
		a, ok, err := f.load(ctx, name)
		if err != nil {
			errs = append(errs, err)
		}
		if !ok {
			continue
		}
		if f.held(a, open, time.Now()) {
			continue
		}
		if err := f.close(ctx, name, a); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(open, name)
	}
	if f.options.OnPass != nil {
		f.options.OnPass(f.namespace, pending)
	}
	return errors.Join(errs...)
}

// held says whether a notice that every target has stays open: a condition until its end is known, the end of a condition until
// the condition itself is closed, and whatever some target wants repeated for as long as it is.
func (f *feed) held(a Alert, open map[string]bool, now time.Time) bool {
	repeats := slices.ContainsFunc(f.lanes, func(l *lane) bool { return l.target.repeat > 0 })
	switch {
	case a.Resolved():
		return open[noticeName(a.Kind, a.Incident, false)] || repeats && now.Before(a.ResolvedAt.Add(holdResolved))
	case a.Kind.Ends():
		return !open[noticeName(a.Kind, a.Incident, true)]
	default:
		return repeats && now.Before(a.At.Add(holdFact)) && len(open) <= maxHeld
	}
}

func (f *feed) close(ctx context.Context, name string, a Alert) error {
	data, err := record(a)
	if err != nil {
		return err
	}
	return f.box.Close(ctx, name, data)
}

// load returns the alert in an open notice; ok is false if there is nothing to send: it has been closed, by this or another
// dispatcher, or it cannot be read, of which the log tells once.
func (f *feed) load(ctx context.Context, name string) (a Alert, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.alerts[name]; ok {
		return a, true, nil
	}
	record, err := f.box.Closed(ctx, name)
	if err == nil {
		return Alert{}, false, f.box.Close(ctx, name, record) // raised again a moment after it was closed
	}
	if !errors.Is(err, blobstore.ErrNotFound) {
		return Alert{}, false, err
	}
	data, err := f.box.Notice(ctx, name)
	if errors.Is(err, blobstore.ErrNotFound) {
		return Alert{}, false, nil
	}
	if err == nil {
		if a, err = decode(f.namespace, name, data); err != nil {
			err = fmt.Errorf("%w: %w", blobstore.ErrCorrupt, err)
		}
	}
	if err != nil && !errors.Is(err, blobstore.ErrCorrupt) {
		return Alert{}, false, err
	}
	if err != nil {
		if !f.broken[name] {
			f.broken[name] = true
			f.options.Log.Error().Err(err).Str("namespace", f.namespace).Str("notice", name).Msg("an alert cannot be read")
		}
		return Alert{}, false, nil
	}
	f.alerts[name] = a
	return a, true, nil
}

// record is what is written of a delivered or closed notice: the alert, and when that was.
func record(a Alert) ([]byte, error) {
	return json.Marshal(struct {
		Alert
		RecordedAt time.Time `json:"recorded_at"`
	}{a, time.Now().UTC()})
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
