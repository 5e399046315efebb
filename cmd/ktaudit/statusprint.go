package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/lag"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// maxRetrying is how many epochs that wait --json lists, maxWhy how much of a reason is printed for
// a human.
const (
	maxRetrying = 100
	maxWhy      = 200
)

// reportAll prints the status of each log, and returns what is worst: that something was found, or
// else that a log could not be asked.
func (a *app) reportAll(all []logStatus, strict bool) error {
	var found, unanswered error
	for i, s := range all {
		if i > 0 && !a.json {
			a.printf("\n")
		}
		err := s.err
		if err == nil {
			err = a.report(s.status, s.live, s.next, strict)
		}
		switch {
		case errors.Is(err, errFound):
			found = err
		case err != nil && err == s.live.unanswered:
			unanswered = errors.Join(unanswered, err)
		case err != nil:
			return err
		}
	}
	if found != nil {
		return found
	}
	return unanswered
}

// printLive prints how far the log has come, and who is alive.
func (a *app) printLive(live liveState) {
	now := time.Now()
	for _, r := range live.Signed { // one: epochs are signed in order
		a.line("signed", "%s", countText(r.To-r.From+1, live.Signed))
	}
	a.printLogged(live.VerdictLog)
	if n := live.Newest; n != nil {
		a.line("newest", "epoch %d, judged %s ago", n.Epoch, ageText(n.FinishedAt, now))
	}
	switch l := live.Lag; {
	case live.LagNote != "":
		a.line("published", "%s", live.LagNote)
	case l == nil:
	case l.Published == 0:
		a.line("published", "no epoch")
	default:
		a.line("published", "up to epoch %d%s%s", l.Published, behindText(*l, now), cachedText(l.Cached))
	}
	if live.Workers != nil {
		a.line("workers", "%d alive", *live.Workers)
		a.line("schedulers", "%d alive", *live.Schedulers)
	}
}

// printLogged prints how many verdicts are in the verdict log, and how many of them are witnessed.
func (a *app) printLogged(c *checkedLog) {
	switch {
	case c == nil:
	case c.Entries == 0:
		a.line("logged", "0")
	default:
		upTo := func(n int64) []epochset.Range {
			return []epochset.Range{{From: c.first, To: c.first + uint64(n) - 1}}
		}
		a.line("logged", "%s", countText(uint64(c.Entries), upTo(c.Entries)))
		if c.asked {
			a.line("witnessed", "%s", countText(uint64(c.Witnessed), upTo(c.Witnessed)))
		}
	}
}

func behindText(l lag.Lag, now time.Time) string {
	switch {
	case l.Epochs == 0:
		return ", nothing newer than what has a verdict"
	case l.Since.IsZero():
		return fmt.Sprintf(", %d newer than any verdict", l.Epochs)
	}
	return fmt.Sprintf(", %d newer than any verdict, the first for %s", l.Epochs, ageText(l.Since, now))
}

func cachedText(cached bool) string {
	if !cached {
		return ""
	}
	return " (out of a cache: there may be newer ones)"
}

// lagRange are the epochs by which an audit is behind.
func lagRange(l lag.Lag) epochset.Range {
	return epochset.Range{From: l.Published - l.Epochs + 1, To: l.Published}
}

// ageText is how long ago something was. Clocks of several machines differ.
func ageText(at, now time.Time) string {
	return units.DurationText(max(0, now.Sub(at)).Truncate(time.Second))
}

// printRetrying prints which epochs wait for their next try, and why.
func (a *app) printRetrying(s report.Status, live liveState) {
	unpublished := neverPublished(s)
	if len(live.Retrying)+len(unpublished) > 0 {
		a.printf("\n")
	}
	for i, r := range unpublished {
		if i == maxListed {
			a.printf("and %d more ranges were never published\n", len(unpublished)-maxListed)
			break
		}
		a.printf("epoch %s: never published, by the names on record\n", rangeText(r))
	}
	for i, w := range live.Retrying {
		if i == maxListed {
			a.printf("and more epochs wait: use --json to list up to %d\n", maxRetrying)
			break
		}
		a.printf("epoch %d: %s\n", w.Epoch, waitText(w))
	}
}

// neverPublished returns the epochs without a verdict that have no name either, though later ones
// have.
func neverPublished(s report.Status) []epochset.Range {
	if s.Chain == nil || len(s.Chain.Chained) == 0 {
		return nil
	}
	last := s.Chain.Chained[len(s.Chain.Chained)-1].To
	var all []epochset.Range
	for _, unnamed := range s.Chain.Gaps {
		for _, gap := range s.Gaps {
			both := epochset.Range{From: max(gap.From, unnamed.From), To: min(gap.To, unnamed.To)}
			if both.From <= both.To && both.To < last {
				all = append(all, both)
			}
		}
	}
	return all
}

func waitText(w queue.WaitingEpoch) string {
	why := strings.TrimPrefix(text.Clean(w.Why, maxWhy), fmt.Sprintf("epoch %d: ", w.Epoch))
	if w.Fault {
		return fmt.Sprintf("fails: %s; tried %s, next at %s", why, times(w.Failures), clockText(w.NextAt))
	}
	return fmt.Sprintf("%s; next at %s", why, clockText(w.NextAt))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// clockText is a time of the near future, in UTC.
func clockText(at time.Time) string { return at.UTC().Format("15:04:05Z") }

// printProblems prints what is wrong beside the verdicts.
func (a *app) printProblems(live liveState) {
	if len(live.Problems) > 0 {
		a.printf("\n")
	}
	for _, p := range live.Problems {
		a.printf("%s\n", p.Message)
	}
}
