package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// verdictObject is a verdict that counts, as an export has it.
type verdictObject struct {
	verdict.Verdict
	Overruled *report.OverruledEpoch `json:"overruled,omitempty"`
}

// showVerdict answers with the verdict that counts on an epoch.
func (a *api) showVerdict(w http.ResponseWriter, r *http.Request) error {
	n, epoch, err := a.namespaceAndEpoch(r)
	if err != nil {
		return err
	}
	v, err := a.c.Store.Verdict(r.Context(), n.Name, epoch)
	if errors.Is(err, auditstore.ErrNotFound) {
		return notFound("epoch %d has no verdict", epoch)
	}
	if err != nil {
		return err
	}
	shown := verdictObject{Verdict: v}
	o, err := a.c.Store.Overruling(r.Context(), n.Name, epoch)
	switch {
	case err == nil:
		shown = verdictObject{o.Verdict, report.OverruledBy(o)}
	case !errors.Is(err, auditstore.ErrNotFound):
		return err
	}
	return a.sendJSON(w, r, shown, forSeconds) // it may be overruled
}

// maxPage is how many verdicts a page has at most, maxPageBytes after how many bytes it ends.
const maxPage, maxPageBytes = 1000, 4 << 20

// verdictPage is a page of verdicts, in the order of their epochs.
type verdictPage struct {
	Namespace string            `json:"namespace"`
	Verdicts  []json.RawMessage `json:"verdicts"`
	Next      string            `json:"next,omitempty"` // the path of the next page; empty: there is none
}

// listVerdicts answers with a page of the verdicts on a range of epochs.
func (a *api) listVerdicts(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	from, err := queryEpoch(q, "from", 1)
	if err != nil {
		return err
	}
	to, err := queryEpoch(q, "to", verdict.MaxEpoch)
	if err != nil {
		return err
	}
	if err := epochset.CheckRange(from, to); err != nil {
		return malformed("%s", err)
	}
	page, size := verdictPage{Namespace: n.Name, Verdicts: []json.RawMessage{}}, 0
	full := errors.New("full")
	err = report.EachVerdict(r.Context(), a.c.Store, n.Name, from, to, func(v verdict.Verdict, o *report.OverruledEpoch) error {
		if len(page.Verdicts) == maxPage || size > maxPageBytes {
			page.Next = fmt.Sprintf("/namespaces/%s/verdicts?from=%d&to=%d", n.Name, v.Epoch, to)
			return full
		}
		data, err := encode(verdictObject{v, o})
		page.Verdicts = append(page.Verdicts, data)
		size += len(data)
		return err
	})
	if err != nil && err != full {
		return err
	}
	return a.sendJSON(w, r, page, forSeconds)
}

// queryEpoch is an epoch of a query, or else what it is without.
func queryEpoch(q url.Values, name string, without uint64) (uint64, error) {
	switch given := q[name]; len(given) {
	case 0:
		return without, nil
	case 1:
		epoch, err := strconv.ParseUint(given[0], 10, 64)
		if err != nil || epoch < 1 || epoch > verdict.MaxEpoch {
			return 0, malformed("%s: %.40q is no epoch between 1 and %d", name, given[0], uint64(verdict.MaxEpoch))
		}
		return epoch, nil
	}
	return 0, malformed("%s is given twice", name)
}
