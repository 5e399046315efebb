package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"

	cronlib "github.com/netresearch/go-cron"
)

// longestYears is more than lies between two times of any schedule: 29 February may take eight
// years.
const (
	longestYears = 10
	longestWait  = longestYears * 366 * 24 * time.Hour
)

// parser reads cron's five fields as cron does: 0 and 7 are Sunday, and where both the day of the
// month and the weekday are given, either will do, which go-cron does only if it is told to.
var parser = cronlib.MustNewParser(
	cronlib.Minute | cronlib.Hour | cronlib.Dom | cronlib.Month | cronlib.Dow | cronlib.Descriptor | cronlib.DowOrDom,
).WithMaxSearchYears(longestYears)

// Schedule returns the first of its times after another.
type Schedule = cronlib.Schedule

// Parse reads five fields or a word such as @daily.
func Parse(text string) (Schedule, error) {
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		return nil, errors.New("time zones are not supported: give the time in UTC")
	}
	schedule, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: give five fields, minute, hour, day, month and weekday, or a word such as @daily", err)
	}
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("%q never occurs", text)
	}
	if every, ok := schedule.(cronlib.ConstantDelaySchedule); ok {
		schedule = multiples(every.Delay)
	}
	return schedule, nil
}

// Last returns the last time of a schedule that has come; zero if there was none.
// It searches from further and further back.
func Last(s Schedule, now time.Time) time.Time {
	for back := time.Minute; back < 2*longestWait; back *= 2 {
		last := s.Next(now.Add(-back))
		if last.IsZero() || last.After(now) {
			continue
		}
		for next := s.Next(last); !next.IsZero() && !next.After(now); next = s.Next(last) {
			last = next
		}
		return last
	}
	return time.Time{}
}

// multiples is the schedule of @every: the same times for everyone, whenever they started.
type multiples time.Duration

// Next returns the first time after t.
func (m multiples) Next(t time.Time) time.Time {
	return t.Truncate(time.Duration(m)).Add(time.Duration(m))
}
