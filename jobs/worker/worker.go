package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Config says how a worker works. All fields must be set.
type Config struct {
	// Concurrency is how many epochs are worked on at once; jobs/share says how the logs share
	// them. Most of a small epoch's time is waiting for the network, and the auditors' Budget holds
	// back big ones.
	Concurrency int
	// ShutdownTimeout is how long epochs in flight may go on after the worker was told to stop.
	// What is not done by then is handed back to the queue.
	ShutdownTimeout time.Duration
	// NotYetDelay is how long an epoch that is not published or not signed yet rests.
	NotYetDelay time.Duration
	// MaxRetryDelay bounds the growing pause after faults.
	MaxRetryDelay time.Duration
	// PollInterval is how long an empty queue is left alone.
	PollInterval time.Duration
}

// validate returns an error that names a field which is not set.
func (c Config) validate() error {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Concurrency", c.Concurrency > 0},
		{"ShutdownTimeout", c.ShutdownTimeout > 0},
		{"NotYetDelay", c.NotYetDelay > 0},
		{"MaxRetryDelay", c.MaxRetryDelay > 0},
		{"PollInterval", c.PollInterval > 0},
	} {
		if !field.set {
			return fmt.Errorf("worker: %s is not set", field.name)
		}
	}
	return nil
}

// Worker takes epochs from the queues and audits them.
type Worker struct {
	config   Config
	queue    Queue
	auditors map[string]*audit.Auditor // by namespace
	log      zerolog.Logger

	// observe, if not nil, is told of every attempt at an epoch.
	observe func(attempt)

	slots     *share.Slots
	inFlight  atomic.Int64
	broken    chan error           // that the judge is broken; the first one is enough
	faults    map[string]*logLimit // lines about a log's epochs, by namespace
	machinery logLimit             // and about the queue
}

// attempt is how one try at an epoch ended.
type attempt struct {
	epoch   uint64
	verdict verdict.Verdict
	err     error
	queued  bool // the queue brought it
}

// Queue is what a worker takes epochs from: a queue.Redis or an inprocess.Queue, whose methods have
// the promises.
type Queue interface {
	Serve(queue.Serving) (stop func(), err error)
	// EnqueueEach and IsShared are for Run.
	EnqueueEach(ctx context.Context, namespace string, class queue.Class, produce func(send func(epoch uint64) error) error) (queue.EnqueueCounts, error)
	IsShared() bool
	String() string
}

// New returns a worker for the logs that auditors audit.
func New(q Queue, auditors []*audit.Auditor, c Config, log zerolog.Logger) (*Worker, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	w := &Worker{config: c, queue: q, auditors: map[string]*audit.Auditor{}, log: log, faults: map[string]*logLimit{}, broken: make(chan error, 1)}
	for _, a := range auditors {
		if w.auditors[a.Namespace] != nil {
			return nil, fmt.Errorf("worker has two auditors for %s", a.Namespace)
		}
		w.auditors[a.Namespace], w.faults[a.Namespace] = a, &logLimit{}
	}
	if len(auditors) == 0 {
		return nil, errors.New("worker has no log to audit")
	}
	w.slots = share.NewSlots(c.Concurrency, slices.Collect(maps.Keys(w.auditors)))
	return w, nil
}

// Stalled returns how many epochs of each log are in flight and come no further.
func (w *Worker) Stalled() map[string]observe.Stall { return w.slots.Stalled() }

// Run works until ctx ends (by a signal, say). It then takes no more epochs, finishes those in
// flight or hands them back, and returns nil. An error means that the worker did not start, or that
// its judge is broken (*canary.BrokenError), after which it hands back all that it has.
//
// The queue hands out as many of each log's tasks as there are slots. Which of these are worked on,
// the slots decide.
func (w *Worker) Run(ctx context.Context) error {
	stop, err := w.queue.Serve(queue.Serving{
		Namespaces:      slices.Collect(maps.Keys(w.auditors)),
		Concurrency:     w.config.Concurrency,
		ShutdownTimeout: w.config.ShutdownTimeout,
		PollInterval:    w.config.PollInterval,
		Handle:          func(task context.Context, t queue.Taken) error { return w.process(task, ctx, t) },
		IsFailure:       isFailure,
		RetryDelay:      w.retryDelay,
		Log:             w.log,
		Trouble:         func(level zerolog.Level) *zerolog.Event { return w.machinery.event(w.log, level) },
	})
	if err != nil {
		return err
	}
	w.log.Info().Int("concurrency", w.config.Concurrency).Str("redis", w.queue.String()).Msg("worker started")
	select {
	case <-ctx.Done():
	case err = <-w.broken:
	}
	w.log.Info().Msg("worker stops: epochs in flight are finished or handed back")
	stop()
	w.log.Info().Msg("worker stopped")
	return err
}

// process handles one task. What it returns decides whether the queue forgets the task (nil) or
// tries it again. Once the worker stops, a task that has no slot yet is handed back.
func (w *Worker) process(ctx, working context.Context, t queue.Taken) error {
	slot, err := w.enter(ctx, working, t.Namespace, t.Class == queue.Fresh)
	if err != nil {
		return kept(t.Namespace, err)
	}
	defer slot.Leave()
	work := w.audit
	if t.Reaudit {
		work = w.reaudit
	}
	return kept(t.Namespace, work(slot.Context(ctx), w.auditors[t.Namespace], t.Epoch, &t))
}

// enter waits for a slot while neither context has ended.
func (w *Worker) enter(ctx, working context.Context, namespace string, fresh bool) (*share.Slot, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(working, cancel)()
	return w.slots.Enter(waiting, namespace, fresh)
}

// audit makes one attempt at an epoch and logs, unless the auditor has, and reports to the observer
// how it ended. The task is nil if the queue did not bring the epoch.
func (w *Worker) audit(ctx context.Context, auditor *audit.Auditor, epoch uint64, t *queue.Taken) error {
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)
	verdict, err := auditor.Audit(ctx, epoch)
	if w.observe != nil {
		w.observe(attempt{epoch, verdict, err, t != nil})
	}
	if _, contradicted := errors.AsType[*audit.ContradictionError](err); contradicted {
		return nil // the verdict on record stays, and the auditor has said so
	}
	return w.failed(auditor, epoch, t, err)
}

// failed logs why an attempt at an epoch is to be made again, and returns that; nil for nil.
func (w *Worker) failed(auditor *audit.Auditor, epoch uint64, t *queue.Taken, err error) error {
	if err == nil {
		return nil
	}
	if _, broken := errors.AsType[*canary.BrokenError](err); broken {
		select {
		case w.broken <- err:
		default:
		}
	}
	var event *zerolog.Event
	message := "epoch not judged: will be tried again"
	switch {
	case errors.Is(err, signature.ErrUnknownKey):
		event = w.faults[auditor.Namespace].event(w.log, zerolog.WarnLevel)
		message = "epoch waits: configure the key that it is signed with, if that is the log's, and restart"
	case errors.Is(err, audit.ErrTooRecent):
		event = w.faults[auditor.Namespace].event(w.log, zerolog.InfoLevel)
		message = "epoch looks wrong: it is looked at again before it is rejected, since it may be incomplete"
	case audit.IsNotYet(err):
		event, message = w.log.Debug(), "epoch not ready (not published, not signed or too recent); it is tried again"
	case errors.Is(err, context.Canceled):
		event, message = w.log.Info(), "epoch handed back"
	case errors.Is(err, share.ErrReclaimed):
		event, message = w.log.Debug(), "epoch put back for another one"
	default:
		event = w.faults[auditor.Namespace].event(w.log, zerolog.WarnLevel)
	}
	if t != nil {
		event = event.Int("retried", t.Failures)
	}
	event.Str("namespace", auditor.Namespace).Uint64("epoch", epoch).Err(err).Msg(message)
	return err
}

// isFailure says which errors count against an epoch's retries, on which the pause before the next
// one depends: those that are neither the end of a worker nor a log that has not published yet.
func isFailure(err error) bool {
	return !audit.IsNotYet(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, queue.ErrLeaseLost) &&
		!errors.Is(err, share.ErrReclaimed)
}

// retryDelay is flat while nothing is wrong, and doubles with each failure otherwise. The jitter
// keeps epochs that failed together from coming back together.
func (w *Worker) retryDelay(failures int, err error) time.Duration {
	if after, ok := audit.RetryAfter(err); ok {
		return min(after+rand.N(after/4+time.Second), w.config.MaxRetryDelay)
	}
	delay := w.config.NotYetDelay
	if !audit.IsNotYet(err) {
		delay = min(time.Second, w.config.MaxRetryDelay)
		if isFailure(err) {
			delay = min(delay<<min(failures, 30), w.config.MaxRetryDelay)
		}
	}
	return delay*3/4 + rand.N(delay/2+1)
}
