package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// judge comes to a judgement of an epoch: it locates the batch, checks what was signed, fetches and
// verifies the batch, and does so once more if it would reject it. An error says why there is no
// judgement.
//
// It writes nothing. With archive the stored bytes of the batch are drafted for the archive while
// they are read, those of a rejected one in any case; the caller commits the judgement's draft or
// drops it.
func (a *Auditor) judge(ctx context.Context, t *attempt, epoch uint64, archive bool) (j judgement, err error) {
	if err := a.refuse(ctx); err != nil {
		return j, err
	}
	started := time.Now()
	j = a.newJudgement(epoch, started)
	defer func() { // a panic's stack is still there when it is passed on
		p := recover()
		if err != nil || p != nil {
			j.draft.Drop()
		}
		if p != nil {
			panic(p)
		}
	}()
	t.reaching = observe.LogDirectory
	object, err := a.locate(ctx, epoch)
	j.locateTook = time.Since(started)
	t.Stage(observe.Locate, started)
	share.Progress(ctx)
	if err != nil {
		return j.rejectedForNames(err)
	}
	if err := a.anchored(object); err != nil {
		return j, err
	}
	j = j.ofBatch(object)

	checking := time.Now()
	t.reaching = observe.Signatures
	signed, err := a.checkSignatures(ctx, object.Name)
	j.signatureTook = time.Since(checking)
	t.Stage(observe.Signature, checking)
	share.Progress(ctx)
	if err != nil {
		return j, err
	}
	j.verdict.Signature = signed.record
	if a.Signatures != nil {
		j.signed = signed.verified
	}

	t.reaching = observe.LogDirectory
	if a.Canary.Choose() {
		t.sample = &verify.Sample{Max: canary.MaxProof}
	}
	found, err := a.fetch(ctx, t, object, archive)
	j.draft = found.Draft
	if err != nil {
		return j.rejectedForNames(err)
	}
	j = j.with(found.Evidence...).with(signed.evidence...)
	if reason, detail := grounds(object.Name, found, signed); reason != "" {
		j = j.rejected(reason, detail)
		if object, found, err = a.fetchAgain(ctx, t, object, found, !archive); found.Draft != nil {
			j.draft = found.Draft
		}
		if err != nil {
			return j.rejectedForNames(err)
		}
		j.object = object
	} else if t.sample != nil {
		if err := a.testJudge(ctx, t, object.Name); err != nil {
			return j, err
		}
	}
	return j.withFetched(found), nil
}

// CheckAnchor returns an error if the epoch after the anchor is published and does not begin with
// the anchor's digest. That the log cannot be read, or not yet, is none: judging will tell.
func (a *Auditor) CheckAnchor(ctx context.Context) error {
	if a.Anchor.IsZero() {
		return nil
	}
	object, err := a.Fetcher.Locate(ctx, a.Anchor.Epoch+1)
	if err != nil {
		return nil
	}
	return a.anchored(object)
}

// anchored returns an error for a batch that does not begin with the anchor's digest. That is no
// rejection: the one who was wrong may be whoever wrote the anchor, and a verdict is for ever.
func (a *Auditor) anchored(object fetcher.Object) error {
	begin := object.Name.PreviousDigest.String()
	if verdict.LinkDigests(a.Anchor.DigestBefore(object.Name.Epoch), begin) != verdict.Broken {
		return nil
	}
	return fmt.Errorf("epoch %d begins with digest %s, but the anchor says that epoch %d ended with %s: "+
		"the anchor is wrong, or this is not the log that it is of; nothing is judged from here on",
		object.Name.Epoch, begin, a.Anchor.Epoch, a.Anchor.Digest)
}

// grounds returns why an epoch is to be rejected, nothing if it is not. What the batch itself shows
// goes before what was said about it: the first that holds is the reason.
func grounds(name validator.Name, found verify.Found, signed signatureCheck) (verdict.Reason, string) {
	switch {
	case name.Digest == name.PreviousDigest:
		return verdict.DigestReused,
			fmt.Sprintf("epoch %d has the digest of epoch %d, %s", name.Epoch, name.Epoch-1, name.Digest)
	case found.Result.Outcome == validator.Rejected:
		return found.Result.Reason, found.Result.Detail
	}
	return signed.reason, signed.detail
}

// locate finds the epoch's batch. A stray object alone is located twice, for someone may have been
// tidying up, and for longer while it may be a batch on its way.
func (a *Auditor) locate(ctx context.Context, epoch uint64) (fetcher.Object, error) {
	object, err := a.Fetcher.Locate(ctx, epoch)
	if _, stray := errors.AsType[*fetcher.NameError](err); stray {
		object, err = a.Fetcher.Locate(ctx, epoch)
	}
	if stray, ok := errors.AsType[*fetcher.NameError](err); ok {
		if tooRecent := a.oldEnough(stray.ModTime, err); tooRecent != nil {
			err = tooRecent
		}
	}
	return object, err
}

// takenAway makes a fault of what says that an epoch is not published whose batch was seen a moment
// ago: somebody may be replacing it, and the epoch is not one that nobody has seen.
func takenAway(object fetcher.Object, err error) error {
	if errors.Is(err, fetcher.ErrNotPublished) {
		return fmt.Errorf("batch %s was taken away while it was judged: %v", object.Key, err)
	}
	return err
}

// fetchAgain locates, fetches and verifies a batch that would be rejected once more: a rejection is
// for ever, so no fault of a disk, a cache or a line may cause one.
func (a *Auditor) fetchAgain(ctx context.Context, t *attempt, object fetcher.Object, first verify.Found, draft bool) (fetcher.Object, verify.Found, error) {
	again, err := a.locate(ctx, object.Name.Epoch)
	if err != nil {
		return object, verify.Found{}, takenAway(object, err)
	}
	if again.Name != object.Name {
		return object, verify.Found{}, &fetcher.EquivocationError{Epoch: object.Name.Epoch, Keys: []string{object.Key, again.Key}}
	}
	if first.Result.Outcome == validator.Rejected {
		cause := fmt.Errorf("rejected as %s on first look (%s; batch %s)", first.Result.Reason, first.Result.Detail, again.Key)
		if err := a.oldEnough(again.ModTime, cause); err != nil {
			return again, verify.Found{}, err
		}
	}
	second, err := a.fetch(ctx, t, again, draft)
	switch {
	case err != nil:
	case second.Result.Outcome == validator.Rejected && second.Stale != nil:
		err = second.Stale
	case second.Info != first.Info || second.Result.Outcome != first.Result.Outcome || second.Result.Reason != first.Result.Reason:
		err = fmt.Errorf("batch %s: the source served two different bodies: first %s %s (sha256 %s), then %s %s (sha256 %s)",
			object.Key, first.Result.Outcome, first.Result.Reason, first.Info.SHA256,
			second.Result.Outcome, second.Result.Reason, second.Info.SHA256)
	}
	return again, second, err
}
