package incident

import (
	"context"
	"errors"
	"iter"
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
	case alert.Contradiction, alert.Equivocation, alert.NamesChanged, alert.SplitView:
		return o.From > 0
	}
	return false
}

// touches reports whether it is about an epoch of a range, or about none in particular.
func (o Open) touches(from, to uint64) bool {
	return o.To == 0 || o.To >= from && (to == 0 || o.From <= to)
}

// MaxListed is how many open incidents a List has.
const MaxListed = 10_000

// maxRemembered is how many acknowledgements a List knows by name. Of others the store is asked.
const maxRemembered = 100_000

// List is what is open: all is counted, MaxListed are listed.
type List struct {
	Open []Open // the worst first; acknowledged ones last
	// More: there are more than are listed.
	More bool
	// Unlisted: there are critical ones that nobody has acknowledged among those that are not
	// listed; UnlistedAcknowledged: that somebody has.
	Unlisted, UnlistedAcknowledged bool

	store     *auditstore.Store
	namespace string
	counts    map[alert.Kind]int // of what nobody has acknowledged
	// lowest is, of the contradictions that are not listed and that nobody has acknowledged, the
	// one at the lowest epoch.
	lowest Open
	// The first maxRemembered names that are acknowledged; forgotten: there are more.
	acknowledged map[string]bool
	forgotten    bool
	// doubles are the first maxRemembered epochs with incidents on several batches, and whether all
	// of these are acknowledged.
	doubles map[uint64]bool
}

// Wrong reports whether anything that is open says that something is wrong. Unless strict, what is
// acknowledged does not count.
func (l List) Wrong(strict bool) bool {
	return l.Unlisted || strict && l.UnlistedAcknowledged ||
		slices.ContainsFunc(l.Open, func(o Open) bool { return o.Wrong() && (strict || !o.Acknowledged) })
}

// Unacknowledged counts what nobody has acknowledged, by kind.
func (l List) Unacknowledged() map[alert.Kind]int { return l.counts }

// Acknowledged reports whether an incident is acknowledged.
func (l List) Acknowledged(ctx context.Context, incident string) (bool, error) {
	if l.acknowledged[incident] || !l.forgotten {
		return l.acknowledged[incident], nil
	}
	_, err := l.store.Incidents(l.namespace).Acknowledgement(ctx, objectName(incident))
	if errors.Is(err, auditstore.ErrNotFound) {
		return false, nil
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		return true, nil // by somebody
	}
	return err == nil, err
}

// Covers reports whether the incident of an alert is acknowledged, or the one that an earlier
// version recorded of the same fact.
func (l List) Covers(ctx context.Context, a alert.Alert) (bool, error) {
	for _, name := range []string{a.Incident, a.FormerIncident()} {
		if name == "" {
			break
		}
		acknowledged, err := l.Acknowledged(ctx, name)
		if err == nil && acknowledged && name != a.Incident {
			acknowledged, err = isRecordedFormerly(ctx, l.store.Incidents(l.namespace), a)
		}
		if err != nil || acknowledged {
			return acknowledged, err
		}
	}
	return false, nil
}

// CoversDoubles reports whether there are incidents on several batches of an epoch, all of them
// acknowledged.
func (l List) CoversDoubles(epoch uint64) bool { return l.doubles[epoch] }

// In returns the part of the list that is about a range of epochs, or about no epoch in particular;
// to may be 0 for the last. What is not listed may be about any.
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
	if low := l.lowest; low.From > 0 && low.From <= head {
		// Where it is before from, others that are not listed may be anywhere after it.
		head, by = max(low.From, from)-1, low.Incident
	}
	if head < from {
		head = 0
	}
	return head, by
}

// ReadList returns what is open, by three requests as a rule and reading none of it: an object that
// is damaged is listed like any other. Two listings are read side by side, so that neither how much
// is open nor how much was ever acknowledged needs memory.
//
// In a store of an older version, until Reconcile was there, the incidents are also those of the
// alerts that were raised, which are listed for it.
func ReadList(ctx context.Context, store *auditstore.Store, namespace string) (List, error) {
	l := List{store: store, namespace: namespace, counts: map[alert.Kind]int{}, acknowledged: map[string]bool{}, doubles: map[uint64]bool{}}
	incidents := store.Incidents(namespace)
	complete, err := incidents.Complete(ctx) // before the listing that relies on it
	if err != nil {
		return List{}, err
	}
	open := incidents.OpenNames(ctx)
	if !complete {
		if open, err = withRaised(ctx, store, namespace, open); err != nil {
			return List{}, err
		}
	}
	// Acknowledgements are listed second: what is acknowledged meanwhile is open, once more at
	// most.
	next, stop := iter.Pull2(incidents.AcknowledgedNames(ctx))
	defer stop()
	reader := listReader{List: l, next: next}
	for name, err := range open {
		if err == nil {
			err = reader.add(name)
		}
		if err != nil {
			return List{}, err
		}
	}
	return reader.finish()
}

// withRaised adds the names of the incidents that only the outbox knows to those that are open.
func withRaised(ctx context.Context, store *auditstore.Store, namespace string, open iter.Seq2[string, error]) (iter.Seq2[string, error], error) {
	raised, err := readRaised(ctx, store, namespace)
	if err != nil {
		return nil, err
	}
	var names []string
	for incident := range raised.open {
		names = append(names, objectName(incident))
	}
	for name, err := range open {
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.SortFunc(names, compareKeys)
	names = slices.Compact(names)
	return func(yield func(string, error) bool) {
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}, nil
}

// listReader makes a list of the names of open incidents, beside the names of those that are
// acknowledged, which next returns in the same order.
type listReader struct {
	List
	next   func() (string, error, bool)
	ahead  string // the acknowledged name that was read last
	ended  bool   // there are no more of them
	ranked [3][]Open
}

func (r *listReader) add(name string) error {
	acknowledged, err := r.isAcknowledged(name)
	if err != nil {
		return err
	}
	o := openOf(incidentOf(name))
	if o.Acknowledged = acknowledged; !acknowledged {
		r.counts[o.Kind]++
	}
	if covered, known := r.doubles[o.From]; o.Kind == alert.Equivocation && !o.posted() && (known || len(r.doubles) < maxRemembered) {
		r.doubles[o.From] = acknowledged && (covered || !known)
	}
	if rank := o.rank(); len(r.ranked[rank]) < MaxListed {
		r.ranked[rank] = append(r.ranked[rank], o)
	} else {
		r.leaveOut(o)
	}
	return nil
}

// isAcknowledged reads on in the names that are acknowledged, up to the one that is asked for.
func (r *listReader) isAcknowledged(name string) (bool, error) {
	for !r.ended && (r.ahead == "" || compareKeys(r.ahead, name) < 0) {
		if err := r.readAcknowledged(); err != nil {
			return false, err
		}
	}
	return r.ahead == name, nil
}

func (r *listReader) readAcknowledged() error {
	ahead, err, ok := r.next()
	if r.ahead, r.ended = ahead, !ok; !ok || err != nil {
		return err
	}
	if len(r.acknowledged) < maxRemembered {
		r.acknowledged[incidentOf(ahead)] = true
	} else {
		r.forgotten = true
	}
	return nil
}

// leaveOut notes what counts of an incident that is not listed.
func (r *listReader) leaveOut(o Open) {
	r.More = true
	switch {
	case !o.Wrong():
	case o.Acknowledged:
		r.UnlistedAcknowledged = true
	default:
		r.Unlisted = true
		if o.contradicts() && (r.lowest.From == 0 || o.From < r.lowest.From) {
			r.lowest = o
		}
	}
}

func (r *listReader) finish() (List, error) {
	isOpen := slices.ContainsFunc(r.ranked[:], func(some []Open) bool { return len(some) > 0 })
	for isOpen && !r.ended {
		if err := r.readAcknowledged(); err != nil {
			return List{}, err
		}
	}
	all := slices.Concat(r.ranked[:]...)
	r.Open = all[:min(len(all), MaxListed)]
	for _, o := range all[len(r.Open):] {
		r.leaveOut(o)
	}
	return r.List, nil
}

// compareKeys compares names in the order of their objects' keys.
func compareKeys(a, b string) int { return strings.Compare(a+".json", b+".json") }

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

// Posted stands in the names of equivocations that were posted to be signed, and not published: who
// acknowledges one has not acknowledged several batches.
const Posted = "/posted-"

func (o Open) posted() bool { return strings.Contains(o.Incident, Posted) }

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
