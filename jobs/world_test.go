package jobs

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
)

// world is a simulated log with an auditor's settings.
type world struct {
	*base
	config AuditorConfig
}

// newWorld simulates a log. The auditor trusts the log's key.
func newWorld(t testing.TB, o simlog.Options) *world { return worldOf(newBase(t, o)) }

// emptyWorld is a log that has published nothing.
func emptyWorld(t testing.TB) *world { return worldOf(emptyBase(t)) }

func worldOf(b *base) *world {
	return &world{b, AuditorConfig{
		Namespace: testNamespace, Configuration: validator.WhatsAppV1(),
		Fetcher: b.fetcher, Store: b.store, Keys: b.keys, Signatures: b.signatures,
		Budget: NewBudget(256 << 20), Software: "ktaudit test", Log: zerolog.Nop(),
		Settle: -1, // it was all written just now
	}}
}

func (w *world) auditor(t testing.TB) *Auditor {
	t.Helper()
	a, err := NewAuditor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
