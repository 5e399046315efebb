package main

import (
	"context"

	"github.com/ktaudit/ktaudit/jobs/queue"
)

// pauseFlags say which queues of which logs to pause or resume.
type pauseFlags struct {
	configFlags
	namespaceFlag
	queueFlags
	Class string `group:"queue" enum:"fresh,backfill,all" default:"all" help:"Which queue: fresh, backfill or all."`
}

type pauseCmd struct{ pauseFlags }

func (pauseCmd) Help() string {
	return `Workers finish the epochs in flight and take no more from a paused queue. Epochs can still be enqueued. status shows which
queues are paused. A queue stays paused until resume, even if workers are restarted, but not if Redis loses its data. With a
configuration file the command applies to all logs in it, or to the one given by --namespace.

Examples:
  ktaudit pause --config ktaudit.yaml
  ktaudit pause --namespace example --redis redis://localhost:6379/0 --class backfill`
}

// Run pauses.
func (c pauseCmd) Run(ctx context.Context, a *app) error { return c.set(ctx, a, "pause", queue.Pause) }

type resumeCmd struct{ pauseFlags }

func (resumeCmd) Help() string {
	return `Ends a pause. Workers continue with the epochs that are on the queue.

Examples:
  ktaudit resume --config ktaudit.yaml
  ktaudit resume --namespace example --redis redis://localhost:6379/0 --class backfill`
}

// Run resumes.
func (c resumeCmd) Run(ctx context.Context, a *app) error {
	return c.set(ctx, a, "resume", queue.Resume)
}

// set pauses or resumes, one log after the other, and prints the state of each queue.
func (c pauseFlags) set(ctx context.Context, a *app, command string, set func(context.Context, *queue.Redis, string, queue.Class) ([]queue.PausedQueue, error)) error {
	settings, namespaces, err := c.loadAll(c.Namespace)
	if err != nil {
		return err
	}
	c.queueFlags.fill(settings)
	if err := missing(command, "--namespace=NAME", namespaces[0].Namespace); err != nil {
		return err
	}
	redis, err := c.connectShared(ctx, a)
	if err != nil {
		return err
	}
	defer redis.Close()
	class := queue.Class(c.Class)
	if c.Class == "all" {
		class = ""
	}
	for _, n := range namespaces {
		queues, err := set(ctx, redis, n.Namespace, class)
		if err != nil {
			return err
		}
		for _, q := range queues {
			if err := a.pausedQueue(n.Namespace, q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) pausedQueue(namespace string, q queue.PausedQueue) error {
	if a.json {
		return a.object(q)
	}
	state := "running"
	if q.Paused {
		state = "paused"
	}
	if !q.Changed {
		state += " (no change)"
	}
	a.printf("%s  %-8s  %s\n", namespace, q.Class, state)
	return nil
}
