package cron_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/cron"
)

// fields are the bounds of cron's five fields. A weekday may also be 7.
var fields = []struct{ low, high int }{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}

// TestNextIsTheFirstMatch holds the parser against the plainest reading of the fields: every minute
// is tried.
func TestNextIsTheFirstMatch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var texts []string
		for i := range fields {
			texts = append(texts, randomField(random, i))
		}
		text := strings.Join(texts, " ")
		from := time.Unix(1_700_000_000+random.Int64N(1e8), 0).UTC()
		want := firstMatch(texts, from)
		schedule, err := cron.Parse(text)
		switch {
		case err != nil && !want.IsZero():
			t.Errorf("%s: %v", text, err)
		case err != nil || want.IsZero(): // 31 April, or rarer than the search below reaches
		case !schedule.Next(from).Equal(want):
			t.Errorf("%s: after %v comes %v, want %v", text, from, schedule.Next(from), want)
		}
	}
}

// randomField returns a field that makes sense: its steps are smaller than its ranges.
func randomField(random *rand.Rand, i int) string {
	low, high := fields[i].low, fields[i].high
	part := func() string {
		from := low + random.IntN(high-low+1)
		to := from + random.IntN(high-from+1)
		step := ""
		if random.IntN(2) == 0 && to-from > 1 {
			step = "/" + strconv.Itoa(1+random.IntN(to-from))
		}
		switch random.IntN(5) {
		case 0:
			return fmt.Sprintf("%d-%d%s", from, to, step)
		case 1:
			return "*/" + strconv.Itoa(2+random.IntN(high-low-1))
		case 2:
			if i == 4 {
				return "7"
			}
		}
		return strconv.Itoa(from)
	}
	if random.IntN(3) == 0 {
		return "*"
	}
	text := part()
	for random.IntN(4) == 0 {
		text += "," + part()
	}
	return text
}

// firstMatch is the first minute after from that the fields match, in five years; else zero.
func firstMatch(texts []string, from time.Time) time.Time {
	at := from.Truncate(time.Minute).Add(time.Minute)
	for end := at.AddDate(5, 0, 0); at.Before(end); {
		switch {
		case !matchesDay(texts, at):
			at = time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, time.UTC)
		case !matches(texts, 1, at.Hour()):
			at = at.Truncate(time.Hour).Add(time.Hour)
		case !matches(texts, 0, at.Minute()):
			at = at.Add(time.Minute)
		default:
			return at
		}
	}
	return time.Time{}
}

// matchesDay: where both the day and the weekday are given, either will do.
func matchesDay(texts []string, at time.Time) bool {
	day, weekday := matches(texts, 2, at.Day()), matches(texts, 4, int(at.Weekday())) || matches(texts, 4, int(at.Weekday())+7)
	both := day || weekday
	if texts[2] == "*" || texts[4] == "*" {
		both = day && weekday
	}
	return both && matches(texts, 3, int(at.Month()))
}

func matches(texts []string, i, value int) bool {
	for part := range strings.SplitSeq(texts[i], ",") {
		values, stepText, _ := strings.Cut(part, "/")
		from, to, step := fields[i].low, fields[i].high, 1
		if stepText != "" {
			step, _ = strconv.Atoi(stepText)
		}
		if first, last, isRange := strings.Cut(values, "-"); isRange {
			from, _ = strconv.Atoi(first)
			to, _ = strconv.Atoi(last)
		} else if values != "*" {
			from, _ = strconv.Atoi(values)
			to = from
		}
		if value >= from && value <= to && (value-from)%step == 0 {
			return true
		}
	}
	return false
}

// FuzzParse: no text makes it panic, hang, or name a time that has passed.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 0 * * 7", "@daily", "@every 1h", "TZ=0", "CRON_TZ= *", "0 0 29 2 *", "*/5 1-4,9 * JAN-MAR sun"} {
		f.Add(text)
	}
	now := time.Date(2026, 6, 10, 12, 0, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		schedule, err := cron.Parse(text)
		if err != nil {
			return
		}
		if next := schedule.Next(now); !next.After(now) {
			t.Errorf("%q: after %v comes %v", text, now, next)
		}
	})
}
