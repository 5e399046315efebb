package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"
)

// Serve begins to hand out tasks. An error says that it could not begin.
//
// stop ends that, as Serving has it, and returns when every call of Handle has.
func (r *Redis) Serve(s Serving) (stop func(), err error) {
	var servers []*asynq.Server
	var running sync.WaitGroup
	logger := &asynqLogger{log: s.Log, trouble: s.Trouble, told: r.FailedLately}
	shutdown := func() {
		var group sync.WaitGroup
		for _, server := range servers {
			group.Go(server.Shutdown)
		}
		group.Wait()
	}
	for _, namespace := range s.Namespaces {
		server := r.server(namespace, s, logger)
		if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
			running.Add(1)
			defer running.Done()
			return r.handle(ctx, t, namespace, s)
		})); err != nil {
			shutdown()
			return nil, fmt.Errorf("starting the worker of %s: %w", namespace, err)
		}
		servers = append(servers, server)
	}
	keeping, end := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() { r.keepLeases(keeping, s.Log) })
	beside.Go(func() { r.ReviveAbandoned(keeping, s.Namespaces, s.Log) })
	return func() {
		shutdown()
		// asynq gave what is not done back to the queue, and then ended its context. That may be
		// writing a verdict, on a context of its own that ends by itself.
		running.Wait()
		end()
		beside.Wait()
	}, nil
}

// server takes one log's tasks.
func (r *Redis) server(namespace string, s Serving, logger *asynqLogger) *asynq.Server {
	return asynq.NewServerFromRedisClient(r.Client, asynq.Config{
		Concurrency:     s.Concurrency,
		Queues:          map[string]int{Name(namespace, Fresh): 2, Name(namespace, Backfill): 1},
		StrictPriority:  true,
		ShutdownTimeout: s.ShutdownTimeout,
		RetryDelayFunc: func(failures int, err error, _ *asynq.Task) time.Duration {
			return s.RetryDelay(failures, ownError(err))
		},
		IsFailure:                func(err error) bool { return s.IsFailure(ownError(err)) },
		TaskCheckInterval:        s.PollInterval,
		DelayedTaskCheckInterval: s.PollInterval,
		Logger:                   logger,
		LogLevel:                 asynq.DebugLevel,
	})
}

// ownError keeps asynq's errors in this room.
func ownError(err error) error {
	if errors.Is(err, asynq.ErrLeaseExpired) {
		return ErrLeaseLost
	}
	return err
}

// handle has one task of a log done.
func (r *Redis) handle(ctx context.Context, t *asynq.Task, namespace string, s Serving) error {
	task, err := ParseTask(t.Payload())
	if err == nil && task.Namespace != namespace {
		err = fmt.Errorf("task for %s is on another log's queue", task.ID())
	}
	if err != nil {
		// Nothing of ours writes such a task, and trying again cannot help. The epoch it may have
		// stood for has no verdict, so it is enqueued again.
		s.Log.Error().Err(err).Msg("task dropped")
		return fmt.Errorf("%w: %w", asynq.RevokeTask, err)
	}
	name, _ := asynq.GetQueueName(ctx)
	id, _ := asynq.GetTaskID(ctx)
	failures, _ := asynq.GetRetryCount(ctx)
	ctx, release := r.hold(ctx, name, id)
	defer release()
	class := Backfill
	if name == Name(namespace, Fresh) {
		class = Fresh
	}
	return s.Handle(ctx, Taken{task, class, failures})
}

// asynqLogger passes asynq's own messages on. They are about the machinery, so they rank a level
// lower than epochs do. What fails because Redis does not answer or refuses, which each of asynq's
// loops says every second, is told of once by Redis.
type asynqLogger struct {
	log      zerolog.Logger
	trouble  func(zerolog.Level) *zerolog.Event
	told     func() bool // whether a trouble with Redis has been told of just now
	channels sync.Once   // the warning that Redis gives no right to them
}

func (l *asynqLogger) Debug(args ...any) { l.log.Trace().Msg(fmt.Sprint(args...)) }
func (l *asynqLogger) Info(args ...any)  { l.log.Debug().Msg(fmt.Sprint(args...)) }
func (l *asynqLogger) Warn(args ...any)  { l.pass(zerolog.WarnLevel, fmt.Sprint(args...)) }
func (l *asynqLogger) Error(args ...any) { l.pass(zerolog.ErrorLevel, fmt.Sprint(args...)) }

func (l *asynqLogger) pass(level zerolog.Level, text string) {
	switch {
	case strings.Contains(text, "cancelation channel") && strings.Contains(text, "NOPERM"):
		l.channels.Do(func() {
			l.log.Warn().Msg("the user of Redis has no right to the channel asynq:cancel: all goes on, " +
				"but give it &asynq:*, as docs/redis.md has it, for every worker asks for the channel every few seconds")
		})
	case l.told():
		l.log.Debug().Msg(text)
	default:
		l.trouble(level).Msg(text)
	}
}

// Fatal does not end the process, which may have verdicts to save.
func (l *asynqLogger) Fatal(args ...any) { l.log.Error().Msg(fmt.Sprint(args...)) }
