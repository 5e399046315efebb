package incident

import (
	"context"
	"errors"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
)

// reconcileEvery is how often incidents and alerts are compared. They differ after a crash at a bad
// moment, and while a version that knows no incidents raises alerts, too.
const reconcileEvery = time.Hour

// Loop keeps the incidents of a log in agreement with its alerts.
type Loop struct {
	Recorder
	Namespace string
	Retry     time.Duration // after a failure
}

// Run compares at once, which carries over what older versions raised, and then every hour, until
// ctx ends.
func (l Loop) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := reconcileEvery
		if err := l.Reconcile(ctx, l.Namespace); err != nil && ctx.Err() == nil {
			l.Log.Warn().Err(err).Msg("incidents and alerts do not agree, and could not all be brought to: ktaudit tries again")
			if !errors.Is(err, auditstore.ErrCorrupt) { // that stays so until somebody mends it
				pause = l.Retry
			}
		}
		_ = wait.For(ctx, pause)
	}
}
