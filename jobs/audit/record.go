package audit

import (
	"context"
	"errors"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// maxLoggedStrays keeps a log line short.
const maxLoggedStrays = 3

// record writes a judgement, confirmed at the last moment, and returns the verdict on record and
// whether it is this one.
//
// The verdict comes last and is the commit: after a crash before it, the epoch is judged again and
// the same objects are written again, which changes nothing; after it, nothing is left to do. A
// worker that is told to stop still writes, on a context that outlives the job's: a verdict may
// have cost minutes. Nobody hurries a worker that is not told to stop.
func (a *Auditor) record(ctx context.Context, t *attempt, j judgement) (recorded verdict.Verdict, created bool, err error) {
	writing, outcome := time.Now(), j.verdict.Outcome
	err = a.commit(ctx, t, j, func(ctx context.Context, confirmed judgement) error {
		j = confirmed
		if recorded, created, err = a.Store.PutVerdict(ctx, j.verdict); err != nil {
			return err
		}
		t.Stage(observe.Write, writing)
		if created {
			a.logVerdict(j, time.Since(writing))
		} else if recorded.Contradicts(j.verdict) {
			saved := j.draft != nil || j.verdict.Outcome != outcome
			return a.contradict(ctx, t, recorded, j, saved)
		}
		return nil
	})
	return recorded, created, err
}

// commit confirms a judgement, puts on record what it rests on, and has put write the verdict.
func (a *Auditor) commit(job context.Context, t *attempt, j judgement, put func(context.Context, judgement) error) error {
	ctx, cancel := wait.Outlive(job, verify.SaveTimeout)
	defer cancel()
	t.reaching = observe.AuditStore
	entered := a.enterDigest(ctx, j.verdict)
	defer func() { _ = entered() }()
	evidence, err := a.save(ctx, j)
	if err != nil {
		return err
	}
	if j.verdict.Outcome == verdict.Verified {
		leave, err := a.pending.Enter(ctx, j.verdict)
		defer leave()
		if err != nil {
			return err
		}
	}
	confirmed, err := a.confirm(ctx, t, j.with(evidence...))
	if err != nil {
		return err
	}
	if err := a.refuse(ctx); err != nil { // found out since this epoch was judged
		return err
	}
	if confirmed.verdict.Outcome != j.verdict.Outcome && j.draft == nil {
		confirmed = confirmed.with(a.saveLate(ctx, t, confirmed)...)
	}
	j = confirmed
	if j.verdict.Outcome == verdict.Rejected {
		a.collect(job, t, j)
	}
	if err := a.putEvidence(ctx, j); err != nil {
		return err
	}
	// Before the verdict, so that there is none without its alert; raised again after a crash, it
	// is one alert still.
	if j.verdict.Outcome == verdict.Rejected {
		if len(j.names) > 0 { // the incident that whoever finds the same names raises
			j.verdict.Incident = alert.DoubleNameIncident(j.verdict.Epoch, j.names)
		}
		if err := a.incidents().Raise(ctx, alert.OfVerdict(j.verdict)); err != nil {
			return err
		}
	}
	if err := entered(); err != nil {
		return err
	}
	j.verdict.Indexed = j.verdict.Outcome == verdict.Verified
	j.verdict.FinishedAt = time.Now().UTC()
	return put(ctx, j)
}

// enterDigest begins to enter the digest of an epoch that looks good in the index of digests, and
// returns what waits for the end of that. It costs no time, for meanwhile the epoch is confirmed.
// An entry whose epoch is rejected after all, or gets no verdict, counts for nothing.
func (a *Auditor) enterDigest(ctx context.Context, v verdict.Verdict) (wait func() error) {
	if v.Outcome != verdict.Verified {
		return func() error { return nil }
	}
	var group errgroup.Group
	group.Go(func() error { return a.Store.PutDigest(ctx, a.Namespace, v.Digest, v.Epoch) })
	return group.Wait
}

// save writes the epoch's batch and signed digest, if they are to be kept, and returns evidence of
// what was on record in their places.
func (a *Auditor) save(ctx context.Context, j judgement) (evidence []incident.Evidence, err error) {
	epoch := j.verdict.Epoch
	if j.draft != nil {
		if evidence, err = a.saveBatch(ctx, j); err != nil {
			return nil, err
		}
	}
	if j.signed == nil {
		return evidence, nil
	}
	err = a.Store.PutSignature(ctx, a.Namespace, epoch, j.signed)
	if errors.Is(err, auditstore.ErrDiffers) {
		// Signed again, which is allowed, or for another digest, which the verdict then on record
		// contradicts.
		a.Log.Warn().Uint64("epoch", epoch).Err(err).Msg("another signed digest is on record; this one is kept as evidence")
		return append(evidence, incident.Evidence{Kind: "signature", Data: j.signed, Extension: ".json"}), nil
	}
	return evidence, err
}

// saveBatch archives the batch. Where the archive has another one, that stays: the source served it
// before, to an attempt that got no further, or to the verdict that this one contradicts. Both are
// worth keeping, so this one goes among the evidence, or what is known of it if it is too large for
// that or has gone meanwhile. Retention leaves the archive alone where there is evidence.
func (a *Auditor) saveBatch(ctx context.Context, j judgement) ([]incident.Evidence, error) {
	err := j.draft.Commit()
	if !errors.Is(err, auditstore.ErrDiffers) {
		return nil, err
	}
	log := a.Log.With().Str("namespace", a.Namespace).Uint64("epoch", j.verdict.Epoch).Logger()
	log.Error().Err(err).Msg("the archive has another batch of this epoch; the one judged is kept as evidence")
	if j.verdict.Batch.StoredBytes <= auditstore.MaxEvidenceBytes {
		data, err := a.verifier().Download(ctx, j.object, j.verdict.Batch)
		if err == nil {
			return []incident.Evidence{{Kind: "batch", Data: data, Extension: j.object.Extension}}, nil
		}
		log.Warn().Err(err).Msg("the batch judged cannot be kept; only its size and hash are")
	}
	evidence, err := incident.EvidenceOf("other-batch", j.verdict.Batch)
	return []incident.Evidence{evidence}, err
}

// saveLate saves the batch of an epoch that looked good until now, fetching it once more if it has
// no draft. The log may have taken it away; what was found stands all the same.
func (a *Auditor) saveLate(ctx context.Context, t *attempt, j judgement) []incident.Evidence {
	if j.object.Key == "" {
		return nil
	}
	evidence, err := a.fetchAndSave(ctx, t, j)
	if err != nil {
		a.Log.Warn().Str("namespace", a.Namespace).Uint64("epoch", j.verdict.Epoch).Err(err).
			Msg("the batch of a rejected or contradicted epoch could not be kept")
	}
	return evidence
}

func (a *Auditor) fetchAndSave(ctx context.Context, t *attempt, j judgement) ([]incident.Evidence, error) {
	if j.draft == nil {
		found, err := a.fetch(ctx, t, j.object, true)
		if err != nil {
			return nil, err
		}
		defer found.Draft.Drop()
		if found.Info.SHA256 != j.verdict.Batch.SHA256 {
			return nil, fetcher.ErrChanged
		}
		j.draft = found.Draft
	}
	return a.save(ctx, j)
}

// putEvidence writes what evidence there is.
func (a *Auditor) putEvidence(ctx context.Context, j judgement) error {
	return a.incidents().PutEvidence(ctx, a.Namespace, j.verdict.Epoch, j.evidence...)
}

// logVerdict writes the epoch's one line.
func (a *Auditor) logVerdict(j judgement, writing time.Duration) {
	v := j.verdict
	level, message := zerolog.InfoLevel, "epoch verified"
	if v.Outcome == verdict.Rejected {
		level, message = zerolog.ErrorLevel, "epoch rejected"
	}
	event := a.Log.WithLevel(level).Str("namespace", v.Namespace).Uint64("epoch", v.Epoch).Str("outcome", v.Outcome)
	if v.Outcome == verdict.Rejected {
		event.Str("reason", string(v.Reason)).Str("detail", v.Detail)
	}
	if s := v.Strays; s != nil {
		event.Strs("strays", s.Names[:min(len(s.Names), maxLoggedStrays)]).
			Int("strays_count", len(s.Names)+s.More)
	}
	event.Int("inserted", v.Inserted).Int("unchanged", v.Unchanged).
		Int64("bytes", v.Batch.Bytes).Int64("stored_bytes", v.Batch.StoredBytes).Str("compression", v.Batch.Compression).
		Str("signature", v.Signature.Status).
		Float64("locate_seconds", j.locateTook.Seconds()).Float64("signature_seconds", j.signatureTook.Seconds()).
		Float64("verify_seconds", v.VerifySeconds).Float64("write_seconds", writing.Seconds()).
		Msg(message)
}
