package jobs

import (
	"context"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/rs/zerolog"
)

// teller tells people what was found.
type teller struct {
	store   *blobstore.Store
	metrics *metrics.Metrics
	log     zerolog.Logger
}

func (t teller) outbox() alert.Outbox { return alert.Outbox{Store: t.store} }

// raise puts an alert into the outbox, once per incident. Schedulers send it.
func (t teller) raise(ctx context.Context, a alert.Alert) error {
	raised, err := t.outbox().Raise(ctx, a)
	if err != nil {
		return fmt.Errorf("raising %s: %w", a.Incident, err)
	}
	if raised {
		t.metrics.AlertRaised(a.Namespace, string(a.Kind))
	}
	return nil
}
