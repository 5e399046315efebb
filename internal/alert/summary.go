package alert

import (
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// maxRuns is how many runs of epochs a summary names.
const maxRuns = 3

// Summary says in a line what alerts of one cause tell, of which there is at least one.
func Summary(alerts []Alert) string {
	first, what := alerts[0], ""
	if len(alerts) == 1 {
		return first.Summary
	}
	switch {
	case first.Kind == Rejected && first.Reason == string(verdict.BatchTooLarge):
		what = " not judged: " + first.Reason
	case first.Kind == Rejected:
		what = " rejected: " + first.Reason
	case first.Reason != "":
		what = ": " + first.Kind.Title() + ": " + first.Reason
	default:
		what = ": " + first.Kind.Title()
	}
	if first.Resolved() {
		what += ", over"
	}
	subject := first.Namespace
	if epochs := epochsText(alerts); epochs != "" {
		subject = epochs + " of " + subject
	}
	return fmt.Sprintf("%s%s (%d)", subject, what, len(alerts))
}

// epochsText names the epochs of alerts; it is empty if they are about none.
func epochsText(alerts []Alert) string {
	var epochs []uint64
	for _, a := range alerts {
		if a.Epoch > 0 {
			epochs = append(epochs, a.Epoch)
		}
	}
	slices.Sort(epochs)
	return epochset.Text(epochset.Runs(epochs), maxRuns)
}
