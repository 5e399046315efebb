package main

import (
	"fmt"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// strictFlag is for commands whose exit status says whether something is wrong.
type strictFlag struct {
	Strict bool `group:"output" help:"Exit with 1 also if what is wrong was acknowledged."`
}

// printOpen prints the incidents beside rejections, which a status lists by themselves.
func (a *app) printOpen(open []incident.Open) {
	shown := 0
	for _, o := range open {
		if o.Kind == alert.Rejected {
			continue
		}
		if shown == 0 {
			a.printf("\n")
		}
		if shown++; shown > maxListed {
			a.printf("and more incidents\n")
			break
		}
		a.printf("%s\n", incidentLine(o))
	}
	if len(open) > 0 {
		a.printf("\n`ktaudit incidents` lists what is open, and `ktaudit incidents show ID` says what it means and what to do;\nboth take --config, or --namespace and --audit-store.\n")
	}
}

// incidentLine says what an incident is, as far as its name shows it.
func incidentLine(o incident.Open) string {
	title := "of a kind that this version of ktaudit does not know"
	if t, ok := explain.Of(string(o.Kind)); ok {
		title = t.Title
	}
	return fmt.Sprintf("%s %s%s: %s", o.Severity, o.Incident, acknowledgedText(o.Acknowledged), title)
}

func acknowledgedText(acknowledged bool) string {
	if acknowledged {
		return " (acknowledged)"
	}
	return ""
}

// headText is the head, and what holds it back.
func headText(head uint64, heldBackBy string) string {
	text := fmt.Sprint(head)
	if head == 0 {
		text = "none"
	}
	if heldBackBy != "" {
		text += ", held back by " + heldBackBy
	}
	return text
}

// warnOfIncidents writes what is open into the log, for commands whose output is for programs.
func (a *app) warnOfIncidents(namespace string, open []incident.Open) {
	for i, o := range open {
		if i == maxListed {
			a.log.Warn().Str("namespace", namespace).Int("open", len(open)).Msg("and more incidents: run `ktaudit incidents`")
			return
		}
		a.log.Warn().Str("namespace", namespace).Msg("incident: " + incidentLine(o))
	}
}
