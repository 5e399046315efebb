package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// confirm holds what was found against what is published and on record at the last moment before it is written: another batch
// for the epoch may have appeared, and the epochs before and after it may have been verified. Once it has a verdict, an
// epoch is not listed again.
//
// An epoch that does not begin where the verified epoch before it ended, or end where the verified one after it begins,
// belongs to another history of the log than they do, and is rejected. Which history is on record first, and so looks right, is
// chance; that there are two is the finding. A rejected epoch claims nothing that could be held against this one.
//
// This finds every fork but one. Two who are at neighbouring epochs may each look before the other has written, and both epochs
// are verified without having been held against each other. Within a process claims keep that from happening. Between
// processes it cannot be helped here, for a verdict is final once it is written, and no store writes two objects at once.
// ReadStatus finds it: it reads what is on record in order, whoever wrote it when. So this check makes for a reason and for
// evidence; whether the log is one log is said there.
func (j *judgement) confirm(ctx context.Context) error {
	if j.object.Key == "" {
		return nil // rejected for its names alone
	}
	outcome := j.verdict.Outcome
	before, after, err := j.lookAround(ctx)
	if err != nil {
		err = j.judgeName(err)
	} else if outcome == verdict.Verified {
		err = j.holdAgainst(before, after)
	}
	if err == nil && j.verdict.Outcome != outcome {
		j.keepLate(ctx)
	}
	return err
}

// lookAround lists the epoch's batch again and reads the verdicts on its neighbours. Neighbours that say nothing are zero.
func (j *judgement) lookAround(ctx context.Context) (before, after verdict.Verdict, err error) {
	epoch := j.verdict.Epoch
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return j.relist(ctx) })
	if j.verdict.Outcome == verdict.Verified {
		group.Go(func() (err error) {
			before, err = j.auditor.neighbour(ctx, epoch-1)
			return err
		})
		group.Go(func() (err error) {
			after, err = j.auditor.neighbour(ctx, epoch+1)
			return err
		})
	}
	err = group.Wait()
	return before, after, err
}

// relist returns an *EquivocationError if there is another batch than the one that was judged, and any other error if it is not
// what it was.
func (j *judgement) relist(ctx context.Context) error {
	object := j.object
	published, err := j.auditor.locate(ctx, object.Name.Epoch)
	if _, stray := errors.AsType[*fetcher.NameError](err); stray {
		err = fmt.Errorf("batch %s was taken away while it was judged: %v", object.Key, err)
	}
	switch {
	case err != nil:
		j.reaching = observe.LogDirectory
		return err
	case published.Name != object.Name:
		return &fetcher.EquivocationError{Epoch: object.Name.Epoch, Keys: []string{object.Key, published.Key}}
	case j.verdict.Outcome == verdict.Rejected && (published.Key != object.Key || published.Size != object.Size || !published.ModTime.Equal(object.ModTime)):
		// What is verified stays verified under its name, whatever is there now. What is rejected may have been mended.
		j.reaching = observe.LogDirectory
		return fmt.Errorf("batch %s was written again while it was judged: %w", object.Key, fetcher.ErrChanged)
	}
	return nil
}

// neighbour returns the verdict on an epoch, or a zero one if there is none. One that cannot be made out is none: when somebody
// has removed it, its epoch is audited anew, and is held against this one then.
func (a *Auditor) neighbour(ctx context.Context, epoch uint64) (verdict.Verdict, error) {
	if epoch == 0 || epoch > verdict.MaxEpoch {
		return verdict.Verdict{}, nil
	}
	v, err := a.Store.Verdict(ctx, a.Namespace, epoch)
	if errors.Is(err, auditstore.ErrNotFound) || errors.Is(err, auditstore.ErrCorrupt) {
		err = nil
	}
	return v, err
}

// holdAgainst rejects the epoch if it is of another history than a neighbour that was verified.
func (j *judgement) holdAgainst(before, after verdict.Verdict) error {
	v := j.verdict
	keys := []string{v.Batch.Key}
	var breaks []string
	if verdict.Between(before, v) == verdict.Broken {
		breaks = append(breaks, fmt.Sprintf("epoch %d begins with %s, but epoch %d was verified to end with %s",
			v.Epoch, v.PreviousDigest, before.Epoch, before.Digest))
		keys = append([]string{before.Batch.Key}, keys...)
	}
	if verdict.Between(v, after) == verdict.Broken {
		breaks = append(breaks, fmt.Sprintf("epoch %d ends with %s, but epoch %d was verified to begin with %s",
			v.Epoch, v.Digest, after.Epoch, after.PreviousDigest))
		keys = append(keys, after.Batch.Key)
	}
	if breaks == nil {
		return nil
	}
	j.reject(verdict.Equivocation, strings.Join(breaks, "; "))
	return j.addEvidence("equivocation", equivocation{Epoch: v.Epoch, Keys: keys})
}

// keepLate keeps the batch of an epoch that looked good until now. The log may have taken it away; what was found stands all
// the same.
func (j *judgement) keepLate(ctx context.Context) {
	if j.kept || j.object.Key == "" {
		return
	}
	var err error
	if j.archive == nil {
		var found finding
		if found, err = j.examine(ctx, j.object, true); err == nil && found.info.SHA256 != j.verdict.Batch.SHA256 {
			err = fetcher.ErrChanged
		}
	}
	if err == nil {
		err = j.keep(ctx)
	} else {
		j.close()
	}
	if err != nil {
		j.auditor.Log.Warn().Str("namespace", j.auditor.Namespace).Uint64("epoch", j.verdict.Epoch).Err(err).
			Msg("the batch of an epoch that is not as it should be cannot be kept")
	}
}
