package audit

import (
	"context"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
)

// collect puts on record what else shows that a rejection or contradiction is right. It never
// fails: what the judgement rests on is recorded by itself, and what cannot be had is said in what
// is recorded here, or in the program's log.
func (a *Auditor) collect(ctx context.Context, t *attempt, j judgement, more ...incident.Batch) {
	a.Evidence.Collect(ctx, j.concern(more...), evidence.Found{
		Listings: t.listings.All(),
		Judge: func(ctx context.Context, wanted incident.Batch, object fetcher.Object) (evidence.Judged, string, error) {
			if wanted.SHA256 != "" && wanted == incident.BatchOf(j.verdict) { // it was judged just now
				return evidence.JudgedBy(j.verdict), wanted.SHA256, nil
			}
			f, err := a.fetch(ctx, &attempt{Attempt: observe.Nothing{}}, object, false)
			return evidence.JudgedOf(f.Result), f.Info.SHA256, err
		},
	})
}
