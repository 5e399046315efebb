package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Config says how a worker works. All fields must be set.
type Config struct {
	// Concurrency is how many epochs are in flight at once. Most of a small epoch's time is waiting
	// for the network, and the auditors' Budget holds back big ones.
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

	running   sync.WaitGroup
	inFlight  atomic.Int64
	faults    logLimit // lines about epochs
	machinery logLimit // and about the queue
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
	w := &Worker{config: c, redis: r, auditors: map[string]*audit.Auditor{}, log: log}
	for _, a := range auditors {
		if w.auditors[a.Namespace] != nil {
			return nil, fmt.Errorf("worker has two auditors for %s", a.Namespace)
		}
		w.auditors[a.Namespace] = a
	}
	if len(auditors) == 0 {
		return nil, errors.New("worker has no log to audit")
	}
	return w, nil
}

// Run works until ctx ends (by a signal, say). It then takes no more epochs, finishes those in
// flight or hands them back, and returns nil. An error means that the worker did not start.
func (w *Worker) Run(ctx context.Context) error {
	server := asynq.NewServerFromRedisClient(w.redis.Client, asynq.Config{
		Concurrency:              w.config.Concurrency,
		Queues:                   w.queues(),
		StrictPriority:           len(w.auditors) == 1,
		ShutdownTimeout:          w.config.ShutdownTimeout,
		RetryDelayFunc:           w.retryDelay,
		IsFailure:                isFailure,
		TaskCheckInterval:        w.config.PollInterval,
		DelayedTaskCheckInterval: w.config.PollInterval,
		Logger:                   asynqLogger{w.log, &w.machinery},
		LogLevel:                 asynq.DebugLevel,
	})
	if err := server.Start(asynq.HandlerFunc(w.process)); err != nil {
		return fmt.Errorf("starting the worker: %w", err)
	}
	w.log.Info().Int("concurrency", w.config.Concurrency).Str("redis", w.redis.String()).Msg("worker started")
	<-ctx.Done()
	w.log.Info().Msg("worker stops: epochs in flight are finished or handed back")
	server.Shutdown()
	// asynq gave the unfinished epochs back to the queue and then cancelled them. One that had
	// reached its verdict may be writing it, on a context of its own that ends by itself.
	w.running.Wait()
	w.log.Info().Msg("worker stopped")
	return nil
}

// queues gives each log's fresh epochs precedence over all history. With one log it is strict;
// between several, chance by these weights keeps one log's backfill from starving another's.
func (w *Worker) queues() map[string]int {
	queues := map[string]int{}
	for namespace := range w.auditors {
		queues[queue.Name(namespace, queue.Fresh)] = 20
		queues[queue.Name(namespace, queue.Backfill)] = 1
	}
	return queues
}

// process handles one task. What it returns decides whether asynq forgets the task (nil) or tries
// it again.
func (w *Worker) process(ctx context.Context, t *asynq.Task) error {
	w.running.Add(1)
	defer w.running.Done()

	task, err := queue.ParseTask(t.Payload())
	auditor := w.auditors[task.Namespace]
	if err == nil && auditor == nil {
		err = fmt.Errorf("task for %s is on another log's queue", task.ID())
	}
	if err != nil {
		// Nothing of ours writes such a task, and trying again cannot help. The epoch it may have
		// stood for has no verdict, so it is enqueued again.
		w.log.Error().Err(err).Msg("task dropped")
		return fmt.Errorf("%w: %w", asynq.RevokeTask, err)
	}
	return w.audit(ctx, auditor, task.Epoch)
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
	if err == nil {
		return nil
	}
	var event *zerolog.Event
	message := "epoch not judged: will be tried again"
	switch {
	case audit.IsNotYet(err):
		event, message = w.log.Debug(), "epoch not there yet"
	case errors.Is(err, context.Canceled):
		event, message = w.log.Info(), "epoch handed back"
	default:
		event = w.faults.event(w.log, zerolog.WarnLevel)
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
	return !audit.IsNotYet(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, asynq.ErrLeaseExpired)
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
// lower than epochs do. While Redis is gone, each of its loops complains every second.
type asynqLogger struct {
	log   zerolog.Logger
	limit *logLimit
}

func (l asynqLogger) Debug(args ...any) { l.log.Trace().Msg(fmt.Sprint(args...)) }
func (l asynqLogger) Info(args ...any)  { l.log.Debug().Msg(fmt.Sprint(args...)) }
func (l asynqLogger) Warn(args ...any) {
	l.limit.event(l.log, zerolog.WarnLevel).Msg(fmt.Sprint(args...))
}
func (l asynqLogger) Error(args ...any) {
	l.limit.event(l.log, zerolog.ErrorLevel).Msg(fmt.Sprint(args...))
}

// Fatal does not end the process, which may have verdicts to save.
func (l asynqLogger) Fatal(args ...any) { l.log.Error().Msg(fmt.Sprint(args...)) }
