package audit

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/verdict"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/metrics"
)

// result says, for the metrics, how an attempt at an epoch ended.
func (j *judgement) result(ctx context.Context, verdict verdict.Verdict, err error) metrics.Result {
	_, contradicted := errors.AsType[*ContradictionError](err)
	switch {
	case contradicted:
		return metrics.Result{Outcome: metrics.Contradiction, Reason: string(j.verdict.Reason)}
	case err == nil && !j.created:
		return metrics.Result{Outcome: metrics.Duplicate}
	case err == nil:
		return metrics.Result{Outcome: verdict.Outcome, Reason: string(verdict.Reason)}
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
