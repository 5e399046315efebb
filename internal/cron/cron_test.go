package cron_test

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/cron"
)

func TestLast(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 6, 10, 12, 0, 30, 0, time.UTC) // a Wednesday
	for _, c := range []struct {
		text      string
		now, want time.Time
	}{
		{"* * * * *", day, day.Truncate(time.Minute)},
		{"0 12 * * *", day.Truncate(time.Minute), day.Truncate(time.Minute)}, // in just that moment
		{"1 12 * * *", day, time.Date(2026, 6, 9, 12, 1, 0, 0, time.UTC)},
		{"0 0 * * 4", day, time.Date(2026, 6, 4, 0, 0, 0, 0, time.UTC)},
		{"0 0 * * 7", day, time.Date(2026, 6, 7, 0, 0, 0, 0, time.UTC)}, // Sunday, as 0 is
		{"0 0 * * 0", day, time.Date(2026, 6, 7, 0, 0, 0, 0, time.UTC)},
		{"0 0 * * 5-7", day, time.Date(2026, 6, 7, 0, 0, 0, 0, time.UTC)},
		{"0 0 * * fri-sun", day, time.Date(2026, 6, 7, 0, 0, 0, 0, time.UTC)},
		{"0 0 3 * 1", day, time.Date(2026, 6, 8, 0, 0, 0, 0, time.UTC)}, // the 3rd, and every Monday
		{"* 3 1 1 *", day, time.Date(2026, 1, 1, 3, 59, 0, 0, time.UTC)},
		{"@yearly", day, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"0 0 29 2 *", time.Date(2103, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2096, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"@every 7h", day, day.Truncate(7 * time.Hour)},
	} {
		schedule, err := cron.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := cron.Last(schedule, c.now); !got.Equal(c.want) {
			t.Errorf("%s: last before %v was %v, want %v", c.text, c.now, got, c.want)
		}
		if next := schedule.Next(c.want); !next.IsZero() && !next.After(c.now) {
			t.Errorf("%s: after %v comes %v", c.text, c.want, next)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "* * * *", "* * * * * *", "61 * * * *", "@often", "TZ=Europe/Paris", "CRON_TZ=UTC 0 0 * * *", "0 0 30 2 *",
		"0 0 * * 8", "0 0 L * *", "TZ=0", "*/90 * * * *",
	} {
		if schedule, err := cron.Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, schedule)
		}
	}
}
