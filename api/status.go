package api

import (
	"context"
	"net/http"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// summaryAge is how old a summary may be.
const summaryAge = 5 * time.Second

// maxShown is how many of what may be many a summary lists: what a log does must not make answers
// large. The counts are of all.
const maxShown = 1000

// statusObject is what ktaudit status has, and what was signed.
type statusObject struct {
	report.Status
	LogDirectory string `json:"log_directory,omitempty"`
	// Seen are the epochs that the log published, by the last walk of its names.
	Seen []epochset.Range `json:"seen,omitempty"`
	// Signed are the epochs whose digests are signed here.
	Signed []epochset.Range `json:"signed"`
	// Truncated: a list has more than it shows.
	Truncated bool `json:"truncated,omitempty"`
}

// status answers with what is on record of a log, by tier: seen, chained, verified, signed.
func (a *api) status(w http.ResponseWriter, r *http.Request) error {
	return a.summary(w, r, func(ctx context.Context, n Namespace) (any, error) {
		s, err := report.ReadStatus(ctx, a.c.Store, n.Name, n.Anchor, n.First, 0)
		if err != nil {
			return nil, err
		}
		shown := statusObject{Status: s, LogDirectory: a.logDirectory(n), Signed: []epochset.Range{}}
		if s.Chain != nil {
			shown.Seen = s.Chain.Seen()
		}
		shown.shorten()
		if n.Auditor == nil {
			return shown, nil
		}
		first, last, ok, err := auditor.SignedRange(ctx, a.c.Store, n.Name)
		if ok {
			shown.Signed = append(shown.Signed, epochset.Range{From: first, To: last})
		}
		return shown, err
	})
}

func (s *statusObject) shorten() {
	shorten(&s.Seen, &s.Truncated)
	shorten(&s.Verified, &s.Truncated)
	shorten(&s.Gaps, &s.Truncated)
	shorten(&s.Rejected, &s.Truncated)
	for i := range s.Rejected {
		s.Rejected[i].Detail = text.Cut(s.Rejected[i].Detail, maxDetail) // the verdict has all of it
	}
	shorten(&s.Breaks, &s.Truncated)
	shorten(&s.Overruled, &s.Truncated)
	shorten(&s.Stretches, &s.Truncated)
	if more := len(s.Incidents) > maxShown; more {
		s.Incidents, s.MoreIncidents = s.Incidents[:maxShown], true
	}
	if s.Chain != nil {
		shorten(&s.Chain.Chained, &s.Truncated)
		shorten(&s.Chain.Gaps, &s.Truncated)
		shorten(&s.Chain.Doubles, &s.Truncated)
		shorten(&s.Chain.Breaks, &s.Truncated)
	}
}

func shorten[T any](list *[]T, truncated *bool) {
	if len(*list) > maxShown {
		*list, *truncated = (*list)[:maxShown], true
	}
}

// incidentList is what is open on a log.
type incidentList struct {
	Namespace string          `json:"namespace"`
	Incidents []incident.Open `json:"incidents"` // the worst first, acknowledged ones last
	More      bool            `json:"more,omitempty"`
	// Unacknowledged counts what nobody has acknowledged, by kind, listed or not.
	Unacknowledged map[alert.Kind]int `json:"unacknowledged"`
}

// incidents answers with what is open on a log.
func (a *api) incidents(w http.ResponseWriter, r *http.Request) error {
	return a.summary(w, r, func(ctx context.Context, n Namespace) (any, error) {
		open, err := incident.ReadList(ctx, a.c.Store, n.Name)
		if err != nil {
			return nil, err
		}
		list := incidentList{n.Name, open.Open, open.More, open.Unacknowledged()}
		if list.Incidents == nil {
			list.Incidents = []incident.Open{}
		}
		shorten(&list.Incidents, &list.More)
		return list, nil
	})
}

// summary answers with what takes many reads, and so is made once for all who ask at the time.
func (a *api) summary(w http.ResponseWriter, r *http.Request, make func(context.Context, Namespace) (any, error)) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	data, err := a.reports.Get(r.Context(), r.Pattern+" "+n.Name, summaryAge, summaryTimeout, func(ctx context.Context) ([]byte, error) {
		v, err := make(ctx, n)
		if err != nil {
			return nil, err
		}
		return encode(v)
	})
	if err != nil {
		return err
	}
	return a.send(w, r, data, sent{"application/json", forSeconds})
}
