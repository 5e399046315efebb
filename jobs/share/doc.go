// Package share divides what the logs of one process have in common: the slots of its worker, the
// memory for batches in flight, and the cores.
//
// It promises that each log has a share of its own, that a log with nothing to do lends its share
// and has it back within seconds, and that who gives nothing holds next to nothing. What is done
// with a share is the caller's business.
package share

import (
	"context"
	"errors"
)

// ErrReclaimed ends work on an epoch that held what another one has the better claim to. Nothing is
// wrong with the epoch: it is tried again, and that costs it nothing.
var ErrReclaimed = errors.New("the epoch's memory was given to another one; it is tried again")

type progressKey struct{}

// Progress says that the work that ctx belongs to has come further.
func Progress(ctx context.Context) {
	if f, ok := ctx.Value(progressKey{}).(func()); ok {
		f()
	}
}
