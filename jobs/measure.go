package jobs

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/metrics"
)

// result says, for the metrics, how an attempt at an epoch ended.
func (j *judgement) result(ctx context.Context, verdict blobstore.Verdict, err error) metrics.Result {
	_, contradicted := errors.AsType[*ContradictionError](err)
	switch {
	case contradicted:
		return metrics.Result{Outcome: metrics.Contradiction, Reason: j.verdict.Reason}
	case err == nil && !j.created:
		return metrics.Result{Outcome: metrics.Duplicate}
	case err == nil:
		return metrics.Result{Outcome: verdict.Outcome, Reason: verdict.Reason}
	}
	result := metrics.Result{Failure: j.reaching}
	switch {
	case errors.Is(err, fetcher.ErrNotPublished):
		result.Failure = metrics.NotPublished
	case errors.Is(err, ErrUnsettled):
		result.Failure = metrics.Unsettled
	case errors.Is(err, ErrNoSignature):
		result.Failure = metrics.NotSigned
	case errors.Is(err, context.Canceled):
		result.Failure = metrics.HandedBack
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.Failure = metrics.Timeout
		result.Err = err
	default: // what has no name of its own is a fault
		result.Err = err
	}
	return result
}

// Ping returns nil if Redis answers.
func (r *Redis) Ping(ctx context.Context) error { return r.client.Ping(ctx).Err() }

// ReadQueues returns the state of some logs' queues, and how many workers are alive for each log.
func (r *Redis) ReadQueues(_ context.Context, namespaces []string) (metrics.Queues, error) {
	inspector := r.inspector()
	state := metrics.Queues{Workers: map[string]int{}}
	names, err := inspector.Queues()
	if err != nil {
		return state, err
	}
	exists := map[string]bool{}
	for _, name := range names {
		exists[name] = true
	}
	for _, namespace := range namespaces {
		for _, class := range classes {
			q := metrics.Queue{Namespace: namespace, Class: string(class)}
			if name := Queue(namespace, class); exists[name] { // else it never had a task
				info, err := inspector.GetQueueInfo(name)
				if err != nil {
					return state, err
				}
				q.Pending, q.Active = info.Pending, info.Active
				q.Retry, q.Archived = info.Retry+info.Scheduled, info.Archived
				q.Paused, q.OldestPending = info.Paused, info.Latency
			}
			state.Queues = append(state.Queues, q)
		}
	}
	servers, err := inspector.Servers()
	if err != nil {
		return state, err
	}
	for _, server := range servers {
		for _, namespace := range namespaces {
			if _, serves := server.Queues[Queue(namespace, Fresh)]; serves && server.Status == "active" {
				state.Workers[namespace]++
			}
		}
	}
	return state, nil
}
