package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/reaudited"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/verdict"
)

// ErrNeedsKeys says that an epoch was judged by its signed digest, and that the auditor that is to
// look at it again trusts no key: it would see less than was seen before.
var ErrNeedsKeys = errors.New("was judged by its signed digest, and no key is trusted now")

// Reaudit judges an epoch that has a verdict once more and returns what it found. If that
// contradicts the verdict on record, it is kept as evidence, with the batch that shows it, and
// raised as an alert, and the error is a *ContradictionError. The verdict on record stays.
// Where the batch is listed otherwise than when it was judged, a note says at last that this was.
//
// Any other error means that the epoch was not judged: it has no verdict (auditstore.ErrNotFound),
// ErrNeedsKeys, or the log has no batch or no signed digest of it (IsNotYet), which is not held
// against it. All others are faults, and to be retried: the way to the log, or a second look that
// did not show the contradiction that a first one had, or showed nothing.
func (a *Auditor) Reaudit(ctx context.Context, epoch uint64) (found verdict.Verdict, err error) {
	defer a.recoverTo(&err, epoch)
	recorded, err := a.Store.NewestVerdict(ctx, a.Namespace, epoch)
	if err != nil {
		return verdict.Verdict{}, err
	}
	if recorded.Signature.Status != verdict.SignatureNotRequired && a.Keys.Len() == 0 {
		return verdict.Verdict{}, fmt.Errorf("epoch %d %w", epoch, ErrNeedsKeys)
	}
	t := &attempt{Attempt: observe.Nothing{}} // an epoch counts once
	ctx = fetcher.RecordListings(ctx, &t.listings)
	j, err := a.judge(ctx, t, epoch, false)
	if err != nil {
		return verdict.Verdict{}, err
	}
	defer j.draft.Drop()
	looksWrong := recorded.Contradicts(j.verdict)
	if j, err = a.confirm(ctx, t, j); err != nil && looksWrong {
		return verdict.Verdict{}, unseen(epoch, err)
	} else if err != nil {
		return verdict.Verdict{}, err
	}
	if err := a.refuse(ctx); err != nil { // found out since this epoch was judged
		return verdict.Verdict{}, err
	}
	j.verdict.FinishedAt = time.Now().UTC()
	saving, cancel := wait.Outlive(ctx, verify.SaveTimeout)
	defer cancel()
	if recorded.Contradicts(j.verdict) {
		again, afreshErr := a.judgeAfresh(ctx, t, recorded, j)
		if afreshErr == nil {
			j = again
		} else if !j.verdict.ShowsOther(recorded) {
			return verdict.Verdict{}, afreshErr
		}
		defer j.draft.Drop()
		err = a.recordContradiction(ctx, t, recorded, j.with(a.saveLate(saving, t, j)...))
	}
	_, contradicted := errors.AsType[*ContradictionError](err)
	if concluded := err == nil || contradicted; concluded && j.isListedOtherwise(recorded) {
		err = cmp.Or(err, reaudited.Put(saving, a.Store, a.Namespace, epoch, j.verdict.Batch))
	}
	return j.verdict, err
}

// isListedOtherwise reports whether the batch that was judged is listed now in another way than the
// one on record was. What was read of another state than was listed says nothing of that.
func (j judgement) isListedOtherwise(recorded verdict.Verdict) bool {
	return j.object.Key != "" && !j.stale && !recorded.Batch.IsListedAs(j.object.Listed())
}

// JudgeAnew judges an epoch as if it had no verdict and has record write what was found. The
// verdict on record stays.
func (a *Auditor) JudgeAnew(ctx context.Context, epoch uint64, record func(context.Context, verdict.Verdict) error) (err error) {
	defer a.recoverTo(&err, epoch)
	t := &attempt{Attempt: observe.Nothing{}}
	ctx = fetcher.RecordListings(ctx, &t.listings)
	j, err := a.judge(ctx, t, epoch, a.Archive)
	if err != nil {
		return err
	}
	defer j.draft.Drop()
	return a.commit(ctx, t, j, func(ctx context.Context, j judgement) error { return record(ctx, j.verdict) })
}

// recoverTo makes an error of a panic.
func (a *Auditor) recoverTo(err *error, epoch uint64) {
	if p := recover(); p != nil {
		*err = a.panicked(epoch, p)
	}
}
