package alert

import (
	"context"
	"time"
)

// Target is where alerts are sent. Package internal/alert/targets makes those that an operator can
// choose; ktaudit's own log is always one.
type Target struct {
	// Name is the one under which deliveries are recorded: up to 64 lower-case letters, digits, "-"
	// and "_". A target that gets another name is sent again what is open.
	Name string
	// Batch is how many alerts one message tells of at most.
	Batch int
	// Repeat is how often what is open is sent again; 0 for never.
	Repeat time.Duration
	// Send sends alerts, once. It returns a *jsonpost.Refusal if the same would be refused again.
	Send func(ctx context.Context, alerts []Alert) error
}
