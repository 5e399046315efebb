package incident

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
)

// Open is an incident that is open, as far as its name says what it is.
type Open struct {
	Incident string         `json:"incident"`
	Kind     alert.Kind     `json:"kind"`
	Severity alert.Severity `json:"severity"`
	// From and To are the epochs that it is about; 0 if it is about none.
	From         uint64 `json:"from,omitempty"`
	To           uint64 `json:"to,omitempty"`
	Acknowledged bool   `json:"acknowledged"`
}

// Wrong reports whether it says that something is wrong with the log or its record: it is critical,
// and not a warning that goes away by itself.
func (o Open) Wrong() bool { return o.Severity == alert.Critical }

// contradicts reports whether it says that the log, or its audit, contradicts itself at an epoch.
func (o Open) contradicts() bool {
	switch o.Kind {
	case alert.Contradiction, alert.Equivocation, alert.NamesChanged:
		return o.From > 0
	}
	return false
}

// touches reports whether it is about an epoch of a range, or about none in particular.
func (o Open) touches(from, to uint64) bool {
	return o.To == 0 || o.To >= from && (to == 0 || o.From <= to)
}

// List is what is open.
type List struct {
	Open []Open // the worst first; acknowledged ones last
	// More: there are more than are listed, auditstore.MaxOpenIncidents.
	More bool

	acknowledged map[string]bool
}

// Wrong reports whether anything that is open says that something is wrong. Unless strict, what is
// acknowledged does not count.
func (l List) Wrong(strict bool) bool {
	return l.More || slices.ContainsFunc(l.Open, func(o Open) bool { return o.Wrong() && (strict || !o.Acknowledged) })
}

// Unacknowledged counts what nobody has acknowledged, by kind.
func (l List) Unacknowledged() map[alert.Kind]int {
	counts := map[alert.Kind]int{}
	for _, o := range l.Open {
		if !o.Acknowledged {
			counts[o.Kind]++
		}
	}
	return counts
}

// Acknowledged reports whether an incident is acknowledged.
func (l List) Acknowledged(incident string) bool { return l.acknowledged[incident] }

// In returns the part of the list that is about a range of epochs, or about no epoch in particular;
// to may be 0 for the last.
func (l List) In(from, to uint64) List {
	l.Open = slices.DeleteFunc(slices.Clone(l.Open), func(o Open) bool { return !o.touches(from, to) })
	return l
}

// Limit returns the head of the epochs from from on, given that all up to head are verified: it
// ends before the first contradiction that nobody has acknowledged, which is named by, or is 0 if
// there is none before that.
func (l List) Limit(from, head uint64) (limited uint64, by string) {
	for _, o := range l.Open {
		if o.contradicts() && !o.Acknowledged && from <= o.From && o.From <= head {
			head, by = o.From-1, o.Incident
		}
	}
	if head < from {
		head = 0
	}
	return head, by
}

// ReadList returns what is open, by three requests as a rule and reading none of it: an object that
// is damaged is listed like any other.
//
// In a store of an older version, until Reconcile was there, the incidents are also those of the
// alerts that were raised, which are listed for it.
func ReadList(ctx context.Context, store *auditstore.Store, namespace string) (List, error) {
	incidents := store.Incidents(namespace)
	complete, err := incidents.Complete(ctx) // before the listing that relies on it
	if err != nil {
		return List{}, err
	}
	names, more, err := incidents.Open(ctx)
	if err != nil {
		return List{}, err
	}
	if !complete {
		raised, err := readRaised(ctx, store, namespace)
		if err != nil {
			return List{}, err
		}
		for incident := range raised.open {
			names = append(names, objectName(incident))
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	l := List{More: more, acknowledged: map[string]bool{}}
	if len(names) == 0 {
		return l, nil
	}
	acknowledged, _, err := incidents.Acknowledged(ctx)
	if err != nil {
		return List{}, err
	}
	for _, name := range acknowledged {
		l.acknowledged[incidentOf(name)] = true
	}
	for _, name := range names {
		o := openOf(incidentOf(name))
		o.Acknowledged = l.acknowledged[o.Incident]
		l.Open = append(l.Open, o)
	}
	slices.SortStableFunc(l.Open, func(a, b Open) int { return a.rank() - b.rank() })
	return l, nil
}

func (o Open) rank() int {
	switch {
	case o.Acknowledged:
		return 2
	case o.Wrong():
		return 0
	}
	return 1
}

// openOf reads an incident's name. One of a kind that this version does not know counts as
// critical.
func openOf(incident string) Open {
	first, rest, _ := strings.Cut(incident, "/")
	o := Open{Incident: incident, Kind: alert.Kind(first), Severity: alert.Kind(first).Severity()}
	if o.Severity == "" {
		o.Severity = alert.Critical
	}
	digits, _, _ := strings.Cut(rest, "/")
	digits, last, _ := strings.Cut(digits, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case err != nil:
	case len(digits) == 12:
		o.From, o.To = n, n
		if last, err := strconv.ParseUint(last, 10, 64); err == nil && o.Kind == alert.Withdrawn {
			o.To = max(n, last)
		}
	case len(digits) == 9 && o.Kind == alert.SealedMismatch:
		o.From, o.To = verdict.ShardRange(n)
	}
	return o
}

// Epochs returns the epochs that an incident is about, by the name of its objects; 0 if it is about
// none.
func Epochs(object string) (from, to uint64) {
	o := openOf(incidentOf(object))
	return o.From, o.To
}

// objectName is the name of an incident's objects, incidentOf the incident of such a name.
func objectName(incident string) string { return strings.ReplaceAll(incident, "/", ".") }
func incidentOf(name string) string     { return strings.ReplaceAll(name, ".", "/") }

// raised is what the outbox has of incidents, or had.
type raised struct {
	noticed map[string]bool // all incidents with a notice
	open    map[string]bool // of these, facts, and conditions that have not ended
}

// readRaised lists the notices that are open and those that are closed.
func readRaised(ctx context.Context, store *auditstore.Store, namespace string) (raised, error) {
	box := store.Outbox(namespace)
	names, err := box.Open(ctx)
	if err != nil {
		return raised{}, err
	}
	// A notice that is closed meanwhile is in one of the two listings, since it is closed before it
	// is no longer open.
	for name, err := range box.ClosedNames(ctx) {
		if err != nil {
			return raised{}, err
		}
		names = append(names, name)
	}
	r, ended := raised{map[string]bool{}, map[string]bool{}}, map[string]bool{}
	for _, name := range names {
		incident, isEnd := alert.IncidentOfNotice(name)
		kind, err := alert.ParseIncident(incident)
		switch {
		case err != nil || kind == alert.Test:
		case isEnd:
			ended[incident] = true
		default:
			r.noticed[incident], r.open[incident] = true, true
		}
	}
	for incident := range ended {
		delete(r.open, incident)
	}
	return r, nil
}
