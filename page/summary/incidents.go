package summary

import (
	"time"

	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// Incident is an open incident in plain words.
type Incident struct {
	Namespace    string `json:"namespace"`
	Name         string `json:"incident"`
	Kind         string `json:"kind"`
	Severity     string `json:"severity"`
	Acknowledged bool   `json:"acknowledged"`
	From         uint64 `json:"from,omitempty"`
	To           uint64 `json:"to,omitempty"`
	Title        string `json:"title"`
	Means        string `json:"means"`
	Benign       string `json:"benign,omitempty"`
	// Summary, Detail and At are those of its alert, where that was read.
	Summary string    `json:"summary,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	At      time.Time `json:"at,omitzero"`
	// Why and AcknowledgedAt say how it was dealt with, if it was.
	Why            string    `json:"why,omitempty"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
}

// Incidents are the first ones that are open, the worst first.
func (s *Summary) Incidents(limit int) []Incident {
	var all []Incident
	for _, o := range s.Open.Open[:min(len(s.Open.Open), limit)] {
		all = append(all, s.incident(o))
	}
	return all
}

func (s *Summary) incident(o incident.Open) Incident {
	d := s.Details[o.Incident]
	t := textOf(o, d)
	i := Incident{
		Namespace: s.Log.Name, Name: o.Incident, Kind: string(o.Kind), Severity: string(o.Severity), Acknowledged: o.Acknowledged,
		From: o.From, To: o.To, Title: t.Title, Means: t.Means, Benign: t.Benign,
	}
	if d.Alert != nil {
		i.Summary, i.At = d.Alert.Summary, d.Alert.At.UTC()
		// The detail of what goes away by itself and says nothing of the log is for the operator:
		// it quotes errors, with addresses and paths of the auditor's own machines.
		if !o.Kind.Ends() || o.Wrong() && o.Kind != "store_unwritable" {
			i.Detail = d.Alert.Detail
		}
	}
	if a := d.Acknowledgement; a != nil {
		i.Why, i.AcknowledgedAt = a.Reason, a.At.UTC()
	}
	return i
}

// textOf explains an incident in plain words.
func textOf(o incident.Open, d incident.Details) explain.Text {
	word := string(o.Kind)
	if d.Alert != nil {
		word = d.Alert.ExplainWord()
	}
	if t, ok := explain.Of(word); ok {
		return t
	}
	return explain.Text{Word: word, Title: "Something that this version of ktaudit does not know.", Means: "It counts as critical until somebody has looked at it."}
}
