package summary

import (
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// State is what a log comes to, at a glance.
type State string

const (
	// Good: all that is known of the log is verified, and nothing is wrong.
	Good State = "good"
	// Wrong: something contradicts the log or its record, and nobody has dealt with it.
	Wrong State = "wrong"
	// Warning: something cannot be told, is late, or was dealt with by a person.
	Warning State = "warning"
	// Empty: nothing is verified yet.
	Empty State = "empty"
	// Unread: what is on record could not be read, or not all of it yet.
	Unread State = "unread"
)

// State returns what the log comes to at a time, and why in a sentence. The first that holds
// counts: what is wrong is wrong however much was read.
func (s *Summary) State(now time.Time) (State, string) {
	wrong, dealt := s.wrong()
	head := fmt.Sprintf("Verified up to epoch %d", s.Status.Head)
	if s.Status.Head == 0 {
		head = "No epoch is verified from the beginning on"
	}
	switch newest := s.newestAt(); {
	case wrong != "":
		return Wrong, wrong
	case s.IsPart():
		return Unread, fmt.Sprintf("Still reading: %s on record were not read yet. What is shown is a part.", s.UnreadText())
	case len(s.Unreadable) > 0:
		return Warning, fmt.Sprintf("%s. %d verdicts cannot be read.", head, len(s.Unreadable))
	case len(s.Judged.All) == 0:
		return Empty, "No epoch has a verdict yet."
	case s.Status.Head == 0 || dealt != "":
		return Warning, fmt.Sprintf("%s. %s", head, orElse(dealt, "Epochs before the first verified one are missing."))
	case s.Lag() > s.maxLag():
		return Warning, fmt.Sprintf("%s. %d epochs that the log published after it are not verified.", head, s.Lag())
	case s.Log.StaleAfter > 0 && now.Sub(newest) > s.Log.StaleAfter:
		return Warning, fmt.Sprintf("%s. There is no verdict newer than %s.", head, units.DurationText(now.Sub(newest).Round(time.Minute)))
	case len(s.Open.Open) > 0:
		return Warning, fmt.Sprintf("%s. There are open warnings.", head)
	case s.Witnessed.Problem != "":
		return Warning, fmt.Sprintf("%s. Of this auditor's own log of verdicts, %s.", head, s.Witnessed.Problem)
	case s.Log.Keys.Verdicts != "" && s.Witnessed.Newest == 0:
		return Warning, fmt.Sprintf("%s. This auditor's own log of verdicts is not there.", head)
	}
	return Good, head + ", and nothing is wrong."
}

func (s *Summary) maxLag() uint64 {
	if s.Log.MaxLag > 0 {
		return s.Log.MaxLag
	}
	return DefaultLag
}

func (s *Summary) newestAt() time.Time {
	if len(s.Newest) == 0 {
		return time.Time{}
	}
	return s.Newest[0].FinishedAt
}

// wrong says what is wrong that nobody has acknowledged, and what is that somebody has.
//
// A rejection or a break is acknowledged if all critical incidents of its epoch are, of which there
// must be one: so it counts also where its incident was lost.
func (s *Summary) wrong() (wrong, dealt string) {
	note := func(acknowledged bool, format string, args ...any) {
		into := &wrong
		if acknowledged {
			into = &dealt
		}
		if *into == "" {
			*into = fmt.Sprintf(format, args...)
		}
	}
	if s.Status.Unanchored() {
		note(false, "The log does not begin with the digest that it is to begin with.")
	}
	acknowledged := s.acknowledged()
	for _, r := range s.Status.Rejected {
		note(acknowledged[r.Epoch], "Epoch %d was rejected: %s.", r.Epoch, r.Reason)
	}
	if s.Status.RejectedCount > uint64(len(s.Status.Rejected)) {
		note(false, "%d epochs were rejected.", s.Status.RejectedCount)
	}
	for _, b := range s.Status.Breaks {
		note(acknowledged[b.Epoch], "Epoch %d does not continue the one before.", b.Epoch)
	}
	if s.Chain != nil {
		for _, epoch := range s.Chain.Breaks {
			note(acknowledged[epoch], "The name of epoch %d does not continue that of the one before.", epoch)
		}
		for _, r := range s.Chain.Doubles {
			for epoch := r.From; epoch <= r.To && wrong == ""; epoch++ {
				note(acknowledged[epoch], "The log lists several batches for epoch %d.", epoch)
			}
		}
	}
	for _, o := range s.Open.Open {
		if o.Wrong() {
			note(o.Acknowledged, "%s", incidentText(o))
		}
	}
	if s.Open.Wrong(false) {
		note(false, "There are open incidents.")
	}
	if dealt != "" {
		dealt += " Somebody has dealt with it, on record."
	}
	return wrong, dealt
}

// acknowledged are the epochs whose critical incidents are all acknowledged.
func (s *Summary) acknowledged() map[uint64]bool {
	of := map[uint64]bool{}
	for _, o := range s.Open.Open {
		if o.Wrong() && o.From > 0 && o.From == o.To {
			before, known := of[o.From]
			of[o.From] = o.Acknowledged && (before || !known)
		}
	}
	return of
}

func incidentText(o incident.Open) string {
	t := textOf(o, incident.Details{})
	if o.From == 0 {
		return t.Title
	}
	return fmt.Sprintf("Epoch %d: %s", o.From, t.Title)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// WrongAt reports whether an epoch of a range was rejected or contradicts its neighbours.
func (s *Summary) WrongAt(from, to uint64) bool {
	in := func(epoch uint64) bool { return from <= epoch && epoch <= to }
	for _, r := range s.Status.Rejected {
		if in(r.Epoch) {
			return true
		}
	}
	for _, b := range s.Status.Breaks {
		if in(b.Epoch) {
			return true
		}
	}
	return s.Chain != nil && (slices.ContainsFunc(s.Chain.Breaks, in) ||
		slices.ContainsFunc(s.Chain.Doubles, func(r chainRange) bool { return r.From <= to && from <= r.To }))
}
