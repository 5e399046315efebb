package main

import (
	"fmt"

	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// printStretches prints how the stretches of verified epochs hang together, if there are several.
func (a *app) printStretches(stretches []report.Stretch) {
	if len(stretches) < 2 {
		return
	}
	title := "stretches"
	for i, s := range stretches {
		if i == maxListed {
			a.line("", "and %d more: use --json to list up to %d", len(stretches)-maxListed, report.MaxListed)
			break
		}
		a.line(title, "%s%s", rangeText(epochset.Range{From: s.From, To: s.To}), linkText(s))
		title = ""
	}
}

// linkText is how a stretch hangs together with the one before it.
func linkText(s report.Stretch) string {
	text := ""
	switch s.Link {
	case "":
		return ""
	case report.StretchLinked:
		return ": continues the stretch before"
	case report.StretchRollback:
		return fmt.Sprintf(": a rollback to epoch %d", s.BackTo)
	case report.StretchGap:
		text = ": behind epochs without a verdict"
	case report.StretchRejected:
		text = ": behind rejected epochs"
	case report.StretchBroken:
		text = fmt.Sprintf(": contradicts epoch %d", s.From-1)
	default:
		return ": not known how it continues the stretch before"
	}
	if s.Island {
		text += ", an island: it continues no epoch that is known" + acknowledgedText(s.Acknowledged)
	}
	return text
}
