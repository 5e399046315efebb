package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// confirm holds a judgement against what is published and on record at the last moment before it is
// written: another batch for the epoch may have appeared, and the epochs before and after it may
// have been verified. Once it has a verdict, an epoch is not listed again.
//
// An epoch that does not begin where the verified epoch before it ended, or end where the verified
// one after it begins, belongs to another history of the log than they do, and is rejected. Which
// history is on record first, and so looks right, is chance; that there are two is what counts. A
// rejected epoch claims nothing that could be held against this one.
//
// This finds every fork but one. Two who are at neighbouring epochs may each read before the other
// has written, and both epochs are verified without having been held against each other. Within a
// process pending verdicts keep that from happening. Between processes it cannot be helped here,
// for a verdict is final once it is written, and no store writes two objects at once. The status
// finds it: it reads what is on record in order, whoever wrote it when. So this check makes for a
// reason and for evidence; whether the log is one log is said there.
func (a *Auditor) confirm(ctx context.Context, t *attempt, j judgement) (judgement, error) {
	if j.object.Key == "" {
		return j, nil // rejected for its names alone
	}
	before, after, err := a.readAround(ctx, t, j)
	switch {
	case err != nil:
		return j.rejectedForNames(err)
	case j.verdict.Outcome == verdict.Verified:
		return j.heldAgainst(before, after)
	}
	return j, nil
}

// readAround lists the epoch's batch again and reads the verdicts on its neighbours. Neighbours
// that claim nothing are zero.
func (a *Auditor) readAround(ctx context.Context, t *attempt, j judgement) (before, after verdict.Verdict, err error) {
	epoch := j.verdict.Epoch
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.relist(ctx, t, j) })
	if j.verdict.Outcome == verdict.Verified {
		group.Go(func() (err error) {
			if before, err = a.neighbour(ctx, epoch-1); verdict.Between(before, j.verdict) == verdict.Broken {
				before, err = a.Store.Newest(ctx, before)
			}
			return err
		})
		group.Go(func() (err error) {
			if after, err = a.neighbour(ctx, epoch+1); verdict.Between(j.verdict, after) == verdict.Broken {
				after, err = a.Store.Newest(ctx, after)
			}
			return err
		})
	}
	err = group.Wait()
	return before, after, err
}

// relist returns an *EquivocationError if there is another batch than the one that was judged, and
// any other error if it is not what it was.
func (a *Auditor) relist(ctx context.Context, t *attempt, j judgement) error {
	object := j.object
	published, err := a.locate(ctx, object.Name.Epoch)
	if _, stray := errors.AsType[*fetcher.NameError](err); stray {
		err = fmt.Errorf("batch %s was taken away while it was judged: %v", object.Key, err)
	}
	switch {
	case err != nil:
		t.reaching = observe.LogDirectory
		return err
	case published.Name != object.Name:
		return &fetcher.EquivocationError{Epoch: object.Name.Epoch, Keys: []string{object.Key, published.Key}}
	case j.verdict.Outcome == verdict.Rejected && (published.Key != object.Key || published.Size != object.Size || !published.ModTime.Equal(object.ModTime)):
		// What is verified stays verified under its name, whatever is there now. What is rejected
		// may have been mended.
		t.reaching = observe.LogDirectory
		return fmt.Errorf("batch %s was written again while it was judged: %w", object.Key, fetcher.ErrChanged)
	}
	return nil
}

// neighbour returns the verdict on an epoch, or a zero one if there is none. One that cannot be
// read is none: when somebody has removed it, its epoch is audited anew, and is held against this
// one then.
func (a *Auditor) neighbour(ctx context.Context, epoch uint64) (verdict.Verdict, error) {
	if epoch == 0 || epoch > verdict.MaxEpoch {
		return verdict.Verdict{}, nil
	}
	v, err := a.Store.Verdict(ctx, a.Namespace, epoch)
	if auditstore.IsLost(err) {
		err = nil
	}
	if err == nil && v.Outcome == verdict.Rejected {
		return a.Store.Newest(ctx, v)
	}
	return v, err
}

// heldAgainst rejects a verified epoch if it is of another history than a neighbour that was
// verified.
func (j judgement) heldAgainst(before, after verdict.Verdict) (judgement, error) {
	v := j.verdict
	keys := []string{v.Batch.Key}
	var breaks []string
	if verdict.Between(before, v) == verdict.Broken {
		breaks = append(breaks, fmt.Sprintf("epoch %d begins with %s, but epoch %d was verified to end with %s",
			v.Epoch, v.PreviousDigest, before.Epoch, before.Digest))
		keys = append([]string{before.Batch.Key}, keys...)
		j.others = append(j.others, incident.BatchOf(before))
	}
	if verdict.Between(v, after) == verdict.Broken {
		breaks = append(breaks, fmt.Sprintf("epoch %d ends with %s, but epoch %d was verified to begin with %s",
			v.Epoch, v.Digest, after.Epoch, after.PreviousDigest))
		keys = append(keys, after.Batch.Key)
		j.others = append(j.others, incident.BatchOf(after))
	}
	if breaks == nil {
		return j, nil
	}
	evidence, err := incident.EvidenceOf("equivocation", equivocation{Epoch: v.Epoch, Keys: keys})
	return j.rejected(verdict.Equivocation, strings.Join(breaks, "; ")).with(evidence), err
}
