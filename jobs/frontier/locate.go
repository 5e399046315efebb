package frontier

import (
	"context"
	"errors"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
)

// Answer is what a log directory says of an epoch.
type Answer struct {
	// Published is whether there is something under the epoch that a worker would judge.
	Published bool
	// Object is the batch. It is empty where Published says that there is something else, of which
	// there is no telling when it was published.
	Object fetcher.Object
	// Fresh is whether the answer is the log's, and not one that somebody on the way kept. That an
	// epoch is missing in one that is not fresh says nothing.
	Fresh bool
}

// Missing reports whether the epoch was looked for, and is not there.
func (a Answer) Missing() bool { return !a.Published && a.Fresh }

// Locate asks a log directory for an epoch. What is wrong with the epoch is the worker's to judge.
func Locate(ctx context.Context, log *fetcher.Fetcher, epoch uint64) (Answer, error) {
	object, err := log.Locate(ctx, epoch)
	if missing, ok := errors.AsType[*fetcher.NotPublishedError](err); ok {
		return Answer{Fresh: missing.Freshness.Fresh()}, nil
	}
	if err == nil || fetcher.Reason(err) != "" || errors.Is(err, fetcher.ErrCrowded) {
		return Answer{Published: true, Object: object, Fresh: true}, nil
	}
	return Answer{}, err
}

// AskTimeout is for how long a log is asked for single epochs in one go, at most.
const AskTimeout = 40 * time.Second

// IsLate reports whether no further question should be put to a log within the time for it, so that
// one that is slow, and not hanging, is no failure.
func IsLate(ctx context.Context) bool {
	deadline, bound := ctx.Deadline()
	return bound && time.Until(deadline) < AskTimeout/2
}
