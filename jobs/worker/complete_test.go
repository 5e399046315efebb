package worker

import (
	"cmp"
	"context"
	"time"

	"github.com/ktaudit/ktaudit/jobs/audit"
)

// complete sets the fields that a test leaves open.
func complete(c Config) Config {
	c.Concurrency = cmp.Or(c.Concurrency, 8)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 30*time.Second)
	c.NotYetDelay = cmp.Or(c.NotYetDelay, 30*time.Second)
	c.MaxRetryDelay = cmp.Or(c.MaxRetryDelay, 10*time.Minute)
	c.PollInterval = cmp.Or(c.PollInterval, 200*time.Millisecond)
	return c
}

// runRange is Run with what the test leaves open.
func runRange(ctx context.Context, r Queue, a *audit.Auditor, c RunConfig) (RunSummary, error) {
	c.Window = cmp.Or(c.Window, 10_000)
	c.FaultWait = cmp.Or(c.FaultWait, 10*time.Minute)
	c.Worker = complete(c.Worker)
	return Run(ctx, r, a, c)
}
