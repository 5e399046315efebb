package alert

import (
	"cmp"
	"context"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// SendTimeout bounds one delivery. With what follows in the audit store it takes less than the half
// of a lease that is left for it.
const SendTimeout = 15 * time.Second

// Target is where alerts are sent. Package internal/alert/targets makes those that an operator can
// choose; ktaudit's own log is always one.
type Target struct {
	// Name is the one under which deliveries are recorded: up to 64 lower-case letters, digits, "-"
	// and "_". A target that gets another name is sent again what is open.
	Name string
	// Batch is how many alerts Send takes at once; 0 for as many as there are.
	Batch int
	// Mixed targets take alerts of any cause at once, and tell people of them as they see fit. To
	// others goes one message for each cause, and no more of them than people can read.
	Mixed bool
	// QuietEnds targets disturb nobody with the end of a condition, which is sent at once.
	QuietEnds bool
	// Repeat is how often what is open is sent again; 0 for never.
	Repeat time.Duration
	// Send sends alerts, once: of one namespace, kind, reason and status, unless the target is
	// Mixed. It returns a *jsonpost.Refusal if the same would be refused again. An error means that
	// nobody has them, as far as is known.
	Send func(ctx context.Context, alerts []Alert) error
}

// limit is how many alerts Send takes at once.
func (t Target) limit() int { return cmp.Or(t.Batch, auditstore.MaxOpenNotices) }
