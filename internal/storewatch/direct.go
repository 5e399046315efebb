package storewatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
)

// sendDirectly sends an alert to targets past the outbox, for when that is what is broken: at best
// once, and nobody else takes over. It returns the targets that do not have it, with an error that
// says why.
func sendDirectly(ctx context.Context, targets []alert.Target, a alert.Alert) (failed []alert.Target, err error) {
	if a, err = a.Complete(time.Now()); err != nil {
		return nil, err
	}
	errs := make([]error, len(targets))
	var group sync.WaitGroup
	for i, t := range targets {
		group.Go(func() { errs[i] = t.Send(ctx, []alert.Alert{a}) })
	}
	group.Wait()
	for i, t := range targets {
		if errs[i] != nil {
			failed = append(failed, t)
			errs[i] = fmt.Errorf("alert %s of %s to %s: %w", a.Incident, a.Namespace, t.Name, errs[i])
		}
	}
	return failed, errors.Join(errs...)
}
