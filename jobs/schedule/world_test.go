package schedule

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
)

// world is a simulated log with an auditor's settings.
type world struct{ *audittest.World }

// newWorld simulates a log. The auditor trusts the log's key.
func newWorld(t testing.TB, o simlog.Options) *world { return &world{audittest.New(t, o)} }

// emptyWorld is a log that has published nothing.
func emptyWorld(t testing.TB) *world { return &world{audittest.Empty(t)} }
