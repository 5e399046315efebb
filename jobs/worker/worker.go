package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
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
	redis    *queue.Redis
	auditors map[string]*audit.Auditor // by namespace
	log      zerolog.Logger

	// observe, if not nil, is told of every attempt at an epoch.
	observe func(attempt)

	slots     *share.Slots
	running   sync.WaitGroup
	inFlight  atomic.Int64
	broken    chan error           // that the judge is broken; the first one is enough
	faults    map[string]*logLimit // lines about a log's epochs, by namespace
	machinery logLimit             // and about the queue
	channels  sync.Once            // see asynqLogger
}

// attempt is how one try at an epoch ended.
type attempt struct {
	epoch   uint64
	verdict verdict.Verdict
	err     error
	queued  bool // the queue brought it
}

// New returns a worker for the logs that auditors audit.
func New(r *queue.Redis, auditors []*audit.Auditor, c Config, log zerolog.Logger) (*Worker, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	w := &Worker{config: c, redis: r, auditors: map[string]*audit.Auditor{}, log: log, faults: map[string]*logLimit{}, broken: make(chan error, 1)}
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
// Each log has a server of its own at the queue. A server takes as many tasks as there are slots,
// so that one log's tasks, whatever becomes of them, never keep it from taking another log's. Which
// of the tasks taken are worked on, the slots decide.
func (w *Worker) Run(ctx context.Context) error {
	var servers []*asynq.Server
	shutdown := func() {
		var group sync.WaitGroup
		for _, server := range servers {
			group.Go(server.Shutdown)
		}
		group.Wait()
	}
	for namespace := range w.auditors {
		server := w.server(namespace)
		if err := server.Start(asynq.HandlerFunc(func(task context.Context, t *asynq.Task) error {
			return w.process(task, ctx, namespace, t)
		})); err != nil {
			shutdown()
			return fmt.Errorf("starting the worker of %s: %w", namespace, err)
		}
		servers = append(servers, server)
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	beside.Go(func() { w.redis.KeepLeases(keeping, w.log) })
	beside.Go(func() { w.redis.ReviveAbandoned(keeping, slices.Collect(maps.Keys(w.auditors)), w.log) })
	defer beside.Wait()
	defer stop()
	w.log.Info().Int("concurrency", w.config.Concurrency).Str("redis", w.redis.String()).Msg("worker started")
	var err error
	select {
	case <-ctx.Done():
	case err = <-w.broken:
	}
	w.log.Info().Msg("worker stops: epochs in flight are finished or handed back")
	shutdown()
	// asynq gave the unfinished epochs back to the queue and then cancelled them. One that had
	// reached its verdict may be writing it, on a context of its own that ends by itself.
	w.running.Wait()
	w.log.Info().Msg("worker stopped")
	return err
}

// server takes one log's tasks, its fresh epochs strictly before its history.
func (w *Worker) server(namespace string) *asynq.Server {
	return asynq.NewServerFromRedisClient(w.redis.Client, asynq.Config{
		Concurrency:              w.config.Concurrency,
		Queues:                   map[string]int{queue.Name(namespace, queue.Fresh): 2, queue.Name(namespace, queue.Backfill): 1},
		StrictPriority:           true,
		ShutdownTimeout:          w.config.ShutdownTimeout,
		RetryDelayFunc:           w.retryDelay,
		IsFailure:                isFailure,
		TaskCheckInterval:        w.config.PollInterval,
		DelayedTaskCheckInterval: w.config.PollInterval,
		Logger:                   asynqLogger{w.log, &w.machinery, w.redis.FailedLately, &w.channels},
		LogLevel:                 asynq.DebugLevel,
	})
}

// process handles one task of a log. What it returns decides whether asynq forgets the task (nil)
// or tries it again. Once the worker stops, a task that has no slot yet is handed back.
func (w *Worker) process(ctx, working context.Context, namespace string, t *asynq.Task) error {
	w.running.Add(1)
	defer w.running.Done()

	task, err := queue.ParseTask(t.Payload())
	if err == nil && task.Namespace != namespace {
		err = fmt.Errorf("task for %s is on another log's queue", task.ID())
	}
	if err != nil {
		// Nothing of ours writes such a task, and trying again cannot help. The epoch it may have
		// stood for has no verdict, so it is enqueued again.
		w.log.Error().Err(err).Msg("task dropped")
		return kept(namespace, fmt.Errorf("%w: %w", asynq.RevokeTask, err))
	}
	name, _ := asynq.GetQueueName(ctx)
	id, _ := asynq.GetTaskID(ctx)
	ctx, release := w.redis.Hold(ctx, name, id)
	defer release()
	slot, err := w.enter(ctx, working, namespace, name == queue.Name(namespace, queue.Fresh))
	if err != nil {
		return kept(namespace, err)
	}
	defer slot.Leave()
	work := w.audit
	if task.Reaudit {
		work = w.reaudit
	}
	return kept(namespace, work(slot.Context(ctx), w.auditors[namespace], task.Epoch))
}

// enter waits for a slot while neither context has ended.
func (w *Worker) enter(ctx, working context.Context, namespace string, fresh bool) (*share.Slot, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(working, cancel)()
	return w.slots.Enter(waiting, namespace, fresh)
}

// audit makes one attempt at an epoch and logs, unless the auditor has, and reports to the observer
// how it ended.
func (w *Worker) audit(ctx context.Context, auditor *audit.Auditor, epoch uint64) error {
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)
	verdict, err := auditor.Audit(ctx, epoch)
	if w.observe != nil {
		_, queued := asynq.GetTaskID(ctx)
		w.observe(attempt{epoch, verdict, err, queued})
	}
	if _, contradicted := errors.AsType[*audit.ContradictionError](err); contradicted {
		return nil // the verdict on record stays, and the auditor has said so
	}
	return w.failed(ctx, auditor, epoch, err)
}

// failed logs why an attempt at an epoch is to be made again, and returns that; nil for nil.
func (w *Worker) failed(ctx context.Context, auditor *audit.Auditor, epoch uint64, err error) error {
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
	if retried, ok := asynq.GetRetryCount(ctx); ok {
		event = event.Int("retried", retried)
	}
	event.Str("namespace", auditor.Namespace).Uint64("epoch", epoch).Err(err).Msg(message)
	return err
}

// isFailure says which errors count against an epoch's retries, on which the pause before the next
// one depends: those that are neither the end of a worker nor a log that has not published yet.
func isFailure(err error) bool {
	return !audit.IsNotYet(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, asynq.ErrLeaseExpired) &&
		!errors.Is(err, share.ErrReclaimed)
}

// retryDelay is flat while nothing is wrong, and doubles with each failure otherwise. The jitter
// keeps epochs that failed together from coming back together.
func (w *Worker) retryDelay(failures int, err error, _ *asynq.Task) time.Duration {
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

// asynqLogger passes asynq's own messages on. They are about the machinery, so they rank a level
// lower than epochs do. What fails because Redis does not answer or refuses, which each of asynq's
// loops says every second, is told of once by queue.Redis.
type asynqLogger struct {
	log      zerolog.Logger
	limit    *logLimit
	told     func() bool // whether a trouble with Redis has been told of just now
	channels *sync.Once  // the warning that Redis gives no right to them
}

func (l asynqLogger) Debug(args ...any) { l.log.Trace().Msg(fmt.Sprint(args...)) }
func (l asynqLogger) Info(args ...any)  { l.log.Debug().Msg(fmt.Sprint(args...)) }
func (l asynqLogger) Warn(args ...any)  { l.pass(zerolog.WarnLevel, fmt.Sprint(args...)) }
func (l asynqLogger) Error(args ...any) { l.pass(zerolog.ErrorLevel, fmt.Sprint(args...)) }

func (l asynqLogger) pass(level zerolog.Level, text string) {
	switch {
	case strings.Contains(text, "cancelation channel") && strings.Contains(text, "NOPERM"):
		l.channels.Do(func() {
			l.log.Warn().Msg("the user of Redis has no right to the channel asynq:cancel: all goes on, " +
				"but give it &asynq:*, as docs/redis.md has it, for every worker asks for the channel every few seconds")
		})
	case l.told():
		l.log.Debug().Msg(text)
	default:
		l.limit.event(l.log, level).Msg(text)
	}
}

// Fatal does not end the process, which may have verdicts to save.
func (l asynqLogger) Fatal(args ...any) { l.log.Error().Msg(fmt.Sprint(args...)) }
