package audit

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// attempt measures one attempt at an epoch.
type attempt struct {
	observe.Attempt
	reaching observe.Failure // whose fault it is if the attempt ends here
	sample   *verify.Sample  // nil unless the judge is to be tested with this epoch's proof
	listings fetcher.Listings
}

// result is how the attempt ended; created says that the verdict on record is its own.
func (t *attempt) result(ctx context.Context, v verdict.Verdict, created bool, err error) observe.Result {
	contradiction, contradicted := errors.AsType[*ContradictionError](err)
	switch {
	case contradicted:
		return observe.Result{Outcome: observe.Contradiction, Reason: string(contradiction.Found.Reason)}
	case err == nil && !created:
		return observe.Result{Outcome: observe.Duplicate}
	case err == nil:
		return observe.Result{Outcome: v.Outcome, Reason: string(v.Reason)}
	}
	result := observe.Result{Failure: t.reaching}
	_, broken := errors.AsType[*canary.BrokenError](err)
	switch {
	case broken:
		result.Failure, result.Err = observe.Canary, err
	case errors.Is(err, fetcher.ErrNotPublished):
		result.Failure = observe.NotPublished
	case errors.Is(err, ErrTooRecent):
		result.Failure = observe.Unsettled
	case errors.Is(err, ErrNoSignature):
		result.Failure = observe.NotSigned
	case errors.Is(err, signature.ErrUnknownKey):
		result.Failure = observe.UnknownKey
	case errors.Is(err, context.Canceled), errors.Is(err, share.ErrReclaimed):
		result.Failure = observe.HandedBack
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.Failure = observe.Timeout
		result.Err = err
	default: // what has no name of its own is a fault
		result.Err = err
	}
	return result
}
