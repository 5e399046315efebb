package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// headAge is how old an answer on the last verified epoch may be.
	headAge = time.Second
	// firstAge is how often the first epoch with a verdict is looked for, where none is configured.
	firstAge = time.Minute
)

// lastVerified answers with the last epoch up to which all are verified.
func (a *api) lastVerified(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	last, err := a.head(r.Context(), n)
	if err != nil {
		return err
	}
	if last == nil {
		return notFound("no epoch is verified from the beginning on, or an open incident holds that back: status says which")
	}
	return a.sendJSON(w, r, last, notAtAll)
}

// head returns the last epoch up to which every epoch is verified and continues the one before, and
// which comes before any contradiction that is open; nil if there is none.
func (a *api) head(ctx context.Context, n Namespace) (*client.LastVerified, error) {
	return a.heads.Get(ctx, n.Name, headAge, summaryTimeout, func(ctx context.Context) (*client.LastVerified, error) {
		kept, _ := a.walks.LoadOrStore(n.Name, &headWalk{})
		v, err := kept.(*headWalk).advance(ctx, a.c.Store, n)
		if err != nil || v.Epoch == 0 {
			return nil, err
		}
		data, err := v.Encode()
		if err != nil {
			return nil, err
		}
		return &client.LastVerified{
			JobID: uuid.NewSHA1(idSpace, append([]byte("verdict\n"), data...)).String(),
			Epoch: v.Epoch, StartHash: v.PreviousDigest, EndHash: v.Digest, Timestamp: uint64(max(v.FinishedAt.UnixMilli(), 0)),
		}, nil
	})
}

// headWalk is on its way to the head of a namespace. One goroutine at a time may use it.
type headWalk struct {
	walk   *report.HeadWalk
	first  uint64
	anchor verdict.Anchor
	looked time.Time // when first was looked for
}

// advance returns the verdict on the head; one of epoch 0 if there is none.
func (h *headWalk) advance(ctx context.Context, store *auditstore.Store, n Namespace) (verdict.Verdict, error) {
	var none verdict.Verdict
	history, err := report.ReadHistory(ctx, store, n.Name)
	if err != nil {
		return none, err
	}
	first, err := h.begin(ctx, store, history, n)
	if err != nil || first == 0 {
		return none, err
	}
	if h.walk == nil || h.first != first || h.anchor != n.Anchor {
		h.walk, h.first, h.anchor = report.NewHeadWalk(first, n.Anchor), first, n.Anchor
	}
	for before := uint64(0); before != h.walk.Next; { // each goes on for so many steps only
		before = h.walk.Next
		if err := h.walk.Advance(ctx, store, history); err != nil {
			return none, err
		}
	}
	if h.walk.Head() == 0 {
		return none, nil
	}
	open, err := incident.ReadList(ctx, store, n.Name)
	if err != nil {
		return none, err
	}
	head, _ := open.Limit(first, h.walk.Head())
	if head == 0 {
		return none, nil
	}
	return report.HeadVerdict(ctx, store, n.Name, head)
}

// begin returns the first epoch of the audit; 0 while there is none.
func (h *headWalk) begin(ctx context.Context, store *auditstore.Store, history verdict.History, n Namespace) (uint64, error) {
	if n.First > 0 {
		return n.First, nil
	}
	if h.first > 0 && time.Since(h.looked) < firstAge {
		return h.first, nil
	}
	var first uint64
	found := errors.New("found")
	note := func(epoch uint64) error { first = epoch; return found }
	err := report.Walk(ctx, store, history, 1, verdict.MaxEpoch, report.Visitor{
		Sealed: func(s verdict.Span) error { return note(s.From) },
		Open: func(epochs []uint64) error {
			if len(epochs) == 0 {
				return nil
			}
			return note(epochs[0])
		},
	})
	if err != nil && err != found {
		return 0, err
	}
	h.looked = time.Now()
	return first, nil
}
