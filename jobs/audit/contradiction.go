package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/verdict"
)

// judgeAfresh judges an epoch once more, from a new listing on, whose judgement contradicts the
// verdict on record. An error that is errDisagree says that the log, or what is on the way to it,
// shows now this and now that; any other that there was no second judgement. The caller drops the
// draft of the judgement that is returned.
func (a *Auditor) judgeAfresh(ctx context.Context, t *attempt, recorded verdict.Verdict, first judgement) (judgement, error) {
	again, err := a.judge(ctx, t, recorded.Epoch, false)
	if err != nil {
		return judgement{}, unseen(recorded.Epoch, err)
	}
	draft := again.draft
	if again, err = a.confirm(ctx, t, again); err != nil {
		draft.Drop()
		return judgement{}, unseen(recorded.Epoch, err)
	}
	again.verdict.FinishedAt = time.Now().UTC()
	v, was := again.verdict, first.verdict
	if v.Contradicts(was) || !recorded.Contradicts(v) || v.Batch.SHA256 != was.Batch.SHA256 {
		draft.Drop()
		return judgement{}, fmt.Errorf("epoch %d: %w: first %s %s (sha256 %s), then %s %s (sha256 %s); on record is %s",
			v.Epoch, errDisagree, was.Outcome, was.Reason, was.Batch.SHA256, v.Outcome, v.Reason, v.Batch.SHA256, recorded.Outcome)
	}
	return again, nil
}

// unseen makes a fault of what says, after a look that contradicts the verdict on record, that
// there is nothing to see: lest the contradiction be dropped, as an epoch is that was never there.
func unseen(epoch uint64, err error) error {
	if errors.Is(err, ErrTooRecent) || !IsNotYet(err) && !errors.Is(err, auditstore.ErrNotFound) {
		return err
	}
	return fmt.Errorf("epoch %d: a first look contradicts the verdict on record, a second one found nothing: %v", epoch, err)
}

var errDisagree = errors.New("a second look does not show what the first one did")

// contradict is for a worker whose epoch was given a verdict by another one meanwhile, which its
// own contradicts. The epoch is judged afresh before that is recorded. Where a fault prevents that,
// or another step was proven, it stands: the next attempt finds a verdict and goes no further.
func (a *Auditor) contradict(ctx context.Context, t *attempt, recorded verdict.Verdict, j judgement, saved bool) error {
	again, err := a.judgeAfresh(ctx, t, recorded, j)
	switch {
	case errors.Is(err, errDisagree) && !j.verdict.ShowsOther(recorded):
		a.Log.Error().Str("namespace", a.Namespace).Err(err).Interface("found", j.verdict).Msg("a contradiction was not confirmed, and is not recorded")
		return err
	case err == nil:
		defer again.draft.Drop()
		if saved {
			again = again.with(j.evidence...)
		}
		j = again
	}
	if err == nil || !saved {
		j = j.with(a.saveLate(ctx, t, j)...)
	}
	return a.recordContradiction(ctx, t, recorded, j)
}

// recordContradiction writes a verdict that contradicts the one on record among the evidence, with
// what it rests on, and returns a *ContradictionError. The program's log gets all of it,
// too: where it cannot be written, the next attempt will find a verdict and go no further.
func (a *Auditor) recordContradiction(job context.Context, t *attempt, recorded verdict.Verdict, j judgement) error {
	ctx, cancel := wait.Outlive(job, verify.SaveTimeout)
	defer cancel()
	err := &ContradictionError{Recorded: recorded, Found: j.verdict}
	a.Log.Error().Uint64("epoch", recorded.Epoch).Err(err).Interface("found", j.verdict).
		Msg("verdict contradicts the one on record")
	evidence, encodeErr := incident.EvidenceOf("contradiction", j.verdict)
	if encodeErr != nil {
		return encodeErr
	}
	var before []incident.Batch
	if recorded.Batch.Key != "" && recorded.Batch.SHA256 != "" {
		before = append(before, incident.BatchOf(recorded))
	}
	a.collect(job, t, j, before...)
	putErr := errors.Join(a.putEvidence(ctx, j.with(evidence)),
		a.incidents().Raise(ctx, alert.OfContradiction(recorded, j.verdict, j.names)))
	if putErr != nil {
		return fmt.Errorf("%v; keeping that as evidence: %w", err, putErr)
	}
	return err
}
