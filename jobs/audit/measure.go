package audit

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
)

// result says, for the metrics, how an attempt at an epoch ended.
func (j *judgement) result(ctx context.Context, verdict verdict.Verdict, err error) observe.Result {
	_, contradicted := errors.AsType[*ContradictionError](err)
	switch {
	case contradicted:
		return observe.Result{Outcome: observe.Contradiction, Reason: string(j.verdict.Reason)}
	case err == nil && !j.created:
		return observe.Result{Outcome: observe.Duplicate}
	case err == nil:
		return observe.Result{Outcome: verdict.Outcome, Reason: string(verdict.Reason)}
	}
	result := observe.Result{Failure: j.reaching}
	switch {
	case errors.Is(err, fetcher.ErrNotPublished):
		result.Failure = observe.NotPublished
	case errors.Is(err, ErrUnsettled):
		result.Failure = observe.Unsettled
	case errors.Is(err, ErrNoSignature):
		result.Failure = observe.NotSigned
	case errors.Is(err, context.Canceled):
		result.Failure = observe.HandedBack
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.Failure = observe.Timeout
		result.Err = err
	default: // what has no name of its own is a fault
		result.Err = err
	}
	return result
}
