// Package audittest supplies tests with an auditor of a simulated log, for the rooms above
// jobs/audit.
package audittest

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
)

// World is a simulated log with the settings of an auditor that trusts the log's key.
type World struct {
	*jobstest.World
	Config audit.Config
}

// New simulates a log.
func New(t testing.TB, o simlog.Options) *World {
	t.Helper()
	return Of(jobstest.NewWorld(t, o))
}

// Empty is a log that has published nothing.
func Empty(t testing.TB) *World {
	t.Helper()
	return Of(jobstest.EmptyWorld(t))
}

// Of is a world with the settings of an auditor.
func Of(w *jobstest.World) *World {
	return &World{w, audit.Config{
		Namespace: jobstest.Namespace, Configuration: validator.WhatsAppV1(),
		Fetcher: w.Fetcher, Store: w.Store, Keys: w.Keys, Signatures: w.Signatures,
		Budget: verify.NewBudget(256 << 20), Software: "ktaudit test", Log: zerolog.Nop(),
		First: 1,
	}}
}

// Auditor returns an auditor with the settings.
func (w *World) Auditor(t testing.TB) *audit.Auditor {
	t.Helper()
	a, err := audit.New(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
