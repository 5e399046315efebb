package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// saveTimeout is how long a finished verdict may take to be written once its job was told to end.
const saveTimeout = 30 * time.Second

// record writes what was found and returns the verdict on record.
//
// The verdict comes last and is the commit: after a crash before it, the epoch is judged again and the same pieces are written
// again, which changes nothing; after it, nothing is left to do. A worker that is told to stop still writes, on a context that
// outlives the job's: a verdict may have cost minutes. Nobody hurries a worker that is not told to stop.
func (j *judgement) record(ctx context.Context) (verdict.Verdict, error) {
	a := j.auditor
	ctx, cancel := wait.Outlive(ctx, saveTimeout)
	defer cancel()
	writing := time.Now()
	j.reaching = observe.AuditStore
	if err := j.keep(ctx); err != nil {
		return verdict.Verdict{}, err
	}
	if j.verdict.Outcome == verdict.Verified {
		withdraw, err := a.claims.stake(ctx, j.verdict)
		defer withdraw()
		if err != nil {
			return verdict.Verdict{}, err
		}
	}
	if err := j.confirm(ctx); err != nil {
		return verdict.Verdict{}, err
	}
	if err := j.putEvidence(ctx); err != nil {
		return verdict.Verdict{}, err
	}
	// Before the verdict, so that there is none without its alert; raised again after a crash, it is one alert still.
	if j.verdict.Outcome == verdict.Rejected {
		if err := a.incidents().Raise(ctx, alert.OfVerdict(j.verdict)); err != nil {
			return verdict.Verdict{}, err
		}
	}
	j.verdict.FinishedAt = time.Now().UTC()
	recorded, created, err := a.Store.PutVerdict(ctx, j.verdict)
	if err != nil {
		return verdict.Verdict{}, err
	}
	j.created = created
	j.measured.Stage(observe.Write, writing)
	if created {
		j.log(time.Since(writing))
	} else if recorded.Contradicts(j.verdict) {
		j.keepLate(ctx)
		return recorded, j.contradict(ctx, recorded)
	}
	return recorded, nil
}

// keep writes the epoch's batch and signed digest, if they are to be kept.
func (j *judgement) keep(ctx context.Context) error {
	a := j.auditor
	epoch := j.verdict.Epoch
	if j.archive != nil && !j.kept {
		if err := j.keepBatch(ctx); err != nil {
			return err
		}
		j.kept = true
	}
	if j.signed != nil {
		err := a.Store.PutSignature(ctx, a.Namespace, epoch, j.signed)
		if errors.Is(err, auditstore.ErrDiffers) {
			// Signed again, which is allowed, or for another digest, which the verdict then on record contradicts.
			a.Log.Warn().Uint64("epoch", epoch).Err(err).Msg("another signed digest is on record")
			j.evidence = append(j.evidence, incident.Evidence{Kind: "signature", Data: j.signed, Extension: ".json"})
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepBatch archives the batch. Where the archive has another one, that stays: the source served it before, to an attempt that got
// no further, or to the verdict that this one contradicts. Both are worth a look, so this one goes among the evidence, or what is
// known of it if it is too large for that or has gone meanwhile. Retention leaves the archive alone where there is evidence.
func (j *judgement) keepBatch(ctx context.Context) error {
	err := j.archive.Commit()
	if !errors.Is(err, auditstore.ErrDiffers) {
		return err
	}
	log := j.auditor.Log.With().Str("namespace", j.auditor.Namespace).Uint64("epoch", j.verdict.Epoch).Logger()
	log.Error().Err(err).Msg("archived batch is not the one judged")
	if j.verdict.Batch.StoredBytes <= auditstore.MaxEvidenceBytes {
		data, err := j.download(ctx)
		if err == nil {
			j.evidence = append(j.evidence, incident.Evidence{Kind: "batch", Data: data, Extension: j.object.Extension})
			return nil
		}
		log.Warn().Err(err).Msg("the batch judged cannot be kept: only its size and hash are")
	}
	return j.addEvidence("other-batch", j.verdict.Batch)
}

// addEvidence sets a piece of evidence aside for putEvidence.
func (j *judgement) addEvidence(kind string, value any) error {
	data, err := json.Marshal(value)
	j.evidence = append(j.evidence, incident.Evidence{Kind: kind, Data: data, Extension: ".json"})
	return err
}

// putEvidence writes what evidence there is. The pieces have their hash in their name, so that what several attempts find stands
// side by side.
func (j *judgement) putEvidence(ctx context.Context) error {
	return j.auditor.incidents().PutEvidence(ctx, j.auditor.Namespace, j.verdict.Epoch, j.evidence...)
}

// contradict writes a verdict that contradicts the one on record among the evidence, with what it rests on, and returns a
// *ContradictionError. Where it cannot be written, the error is one to try again after; but the next attempt will find a verdict and
// look no further, so the program's log gets all of it in any case.
func (j *judgement) contradict(ctx context.Context, recorded verdict.Verdict) error {
	err := &ContradictionError{Recorded: recorded, Found: j.verdict}
	j.auditor.Log.Error().Uint64("epoch", recorded.Epoch).Err(err).Interface("found", j.verdict).
		Msg("verdict contradicts the one on record")
	if err := j.addEvidence("contradiction", j.verdict); err != nil {
		return err
	}
	if putErr := errors.Join(j.putEvidence(ctx), j.auditor.incidents().Raise(ctx, alert.OfContradiction(recorded, j.verdict))); putErr != nil {
		return fmt.Errorf("%v; keeping that as evidence: %w", err, putErr)
	}
	return err
}

// log writes the epoch's one line.
func (j *judgement) log(writing time.Duration) {
	v := j.verdict
	level, message := zerolog.InfoLevel, "epoch verified"
	if v.Outcome == verdict.Rejected {
		level, message = zerolog.ErrorLevel, "epoch rejected"
	}
	event := j.auditor.Log.WithLevel(level).Str("namespace", v.Namespace).Uint64("epoch", v.Epoch).Str("outcome", v.Outcome)
	if v.Outcome == verdict.Rejected {
		event.Str("reason", string(v.Reason)).Str("detail", v.Detail)
	}
	event.Int("inserted", v.Inserted).Int("unchanged", v.Unchanged).
		Int64("bytes", v.Batch.Bytes).Int64("stored_bytes", v.Batch.StoredBytes).Str("compression", v.Batch.Compression).
		Str("signature", v.Signature.Status).
		Float64("locate_seconds", j.located.Seconds()).Float64("signature_seconds", j.signatureChecked.Seconds()).
		Float64("verify_seconds", v.VerifySeconds).Float64("write_seconds", writing.Seconds()).
		Msg(message)
}
