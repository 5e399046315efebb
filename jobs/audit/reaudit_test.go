package audit

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// forgetful answers one of its listings with nothing.
type forgetful struct {
	jobstest.FaultyBucket
	listings, empty int // the number of the empty one, from 1 on
}

func (f *forgetful) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if f.listings++; f.listings == f.empty {
		return &driver.ListPage{}, nil
	}
	return f.FaultyBucket.ListPaged(ctx, o)
}

// A contradiction of the same digests that was seen once is neither dropped nor recorded because a
// later listing lacks the epoch: that is a fault, and the next attempt finds it. Only an epoch that
// the first listing lacks is not published.
func TestContradictionSurvivesAFault(t *testing.T) {
	t.Parallel()
	const epoch = 2
	for _, archived := range []bool{false, true} {
		for empty, more := 1, true; more; empty++ {
			w := newWorld(t, simlog.Options{Epochs: 3})
			w.config.Archive = archived
			if _, err := w.auditor(t).Audit(t.Context(), epoch); err != nil {
				t.Fatal(err)
			}
			overwrite(epoch, []byte("rewritten"))(t, w, nil)
			log := &forgetful{empty: empty, FaultyBucket: jobstest.FaultyBucket{
				Faults: &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1))}, B: w.Log,
			}}
			bucket := blob.NewBucket(log)
			w.config.Fetcher = fetcher.New(bucket, fetcher.Options{})
			_, err := w.auditor(t).Reaudit(t.Context(), epoch)
			more = log.listings >= empty
			_, contradicted := errors.AsType[*ContradictionError](err)
			switch {
			case contradicted:
			case err == nil:
				t.Errorf("listing %d is empty: no contradiction", empty)
			case IsNotYet(err) != (empty == 1):
				t.Errorf("listing %d is empty: %v", empty, err)
			case len(w.Evidence(t, epoch)) > 0:
				t.Errorf("listing %d is empty: %v, and the evidence is %q", empty, err, w.Evidence(t, epoch))
			default:
				jobstest.WantNotices(t, w.config.Store)
			}
			if _, err = w.auditor(t).Reaudit(t.Context(), epoch); contradicted {
				continue
			}
			if _, found := errors.AsType[*ContradictionError](err); !found {
				t.Errorf("after listing %d was empty: %v, want a ContradictionError", empty, err)
			}
			jobstest.Must(t, bucket.Close())
		}
	}
}
