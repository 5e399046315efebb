package schedule

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
)

func TestSchedulesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	for want, change := range map[string]func(s *Config){
		"namespace":                    func(s *Config) { s.Namespace = "../x" },
		"needs a fetcher":              func(s *Config) { s.Fetcher = nil },
		"first epoch":                  func(s *Config) { s.First = 0 },
		"period":                       func(s *Config) { s.Poll = 0 },
		"has no window":                func(s *Config) { s.Window = 0 },
		"from epoch 3 has no window":   func(s *Config) { s.Backfills = []BackfillPlan{{From: 3}} },
		"before the first":             func(s *Config) { s.First, s.Last = 5, 4 },
		"layout ends":                  func(s *Config) { s.Last = 1 << 60 },
		"ends before it begins":        func(s *Config) { s.First = 5; s.Backfills = []BackfillPlan{{To: 4, Window: 1}} },
		"expected exactly":             func(s *Config) { s.Backfills = []BackfillPlan{{Cron: "* * *", Window: 10_000}} },
		"time zones are not supported": func(s *Config) { s.Backfills = []BackfillPlan{{Cron: "TZ=Europe/Berlin", Window: 10_000}} },
		"never occurs":                 func(s *Config) { s.Backfills = []BackfillPlan{{Cron: "0 0 30 2 *", Window: 10_000}} },
	} {
		s := w.schedule()
		change(&s)
		if _, err := New(queuetest.Miniredis(t), []Config{s}, w.Config.Log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
	if _, err := New(queuetest.Miniredis(t), []Config{w.schedule(), w.schedule()}, w.Config.Log); err == nil {
		t.Error("two schedules for one log are taken")
	}
	if _, err := New(queuetest.Miniredis(t), nil, w.Config.Log); err == nil {
		t.Error("no schedule is taken")
	}
}
