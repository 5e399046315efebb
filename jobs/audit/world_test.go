package audit

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
)

// world is a simulated log with an auditor's settings.
type world struct {
	*jobstest.World
	config Config
}

// newWorld simulates a log. The auditor trusts the log's key.
func newWorld(t testing.TB, o simlog.Options) *world { return worldOf(jobstest.NewWorld(t, o)) }

func worldOf(b *jobstest.World) *world {
	return &world{b, Config{
		Namespace: jobstest.Namespace, Configuration: validator.WhatsAppV1(),
		Fetcher: b.Fetcher, Store: b.Store, Keys: b.Keys, Signatures: b.Signatures,
		Budget: verify.NewBudget(256 << 20), Software: "ktaudit test", Log: zerolog.Nop(),
		First: 1,
	}}
}

func (w *world) auditor(t testing.TB) *Auditor {
	t.Helper()
	a, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
