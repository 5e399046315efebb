package schedule

import (
	"errors"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// longestWait is more than lies between two times of any schedule: 29 February may take eight years.
const longestWait = 10 * 366 * 24 * time.Hour

// parseCron reads five fields or a word. The cron package's parser panics on a time zone without times, and none is wanted.
func parseCron(text string) (cron.Schedule, error) {
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		return nil, errors.New("times are in UTC, and a time zone cannot be given")
	}
	schedule, err := cron.ParseStandard(text)
	if err == nil && schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		err = errors.New("it never comes")
	}
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok {
		schedule = multiples(every.Delay)
	}
	return schedule, err
}

// multiples is the schedule of @every: the same times for everyone, whenever they started.
type multiples time.Duration

// Next returns the first time after t.
func (m multiples) Next(t time.Time) time.Time {
	return t.Truncate(time.Duration(m)).Add(time.Duration(m))
}

// lastTime returns the last time of a schedule that has come; zero if there was none. It looks from further and further back.
func lastTime(s cron.Schedule, now time.Time) time.Time {
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
