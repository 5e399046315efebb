package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/rs/zerolog"
)

// saveTimeout is how long a finished verdict may take to be written, whatever happens to the job meanwhile.
const saveTimeout = 30 * time.Second

// record writes what was found and returns the verdict on record.
//
// The verdict comes last and is the commit: after a crash before it, the epoch is judged again and the same pieces are written
// again, which changes nothing; after it, nothing is left to do. A worker that is told to stop still writes, on a context of its
// own: a verdict may have cost minutes.
func (j *judgement) record(ctx context.Context) (blobstore.Verdict, error) {
	a := j.auditor
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	writing := time.Now()
	j.reaching = metrics.AuditStore
	if err := j.recordPieces(ctx); err != nil {
		return blobstore.Verdict{}, err
	}
	j.verdict.FinishedAt = time.Now().UTC()
	recorded, created, err := a.Store.PutVerdict(ctx, j.verdict)
	if err != nil {
		return blobstore.Verdict{}, err
	}
	j.created = created
	j.measured.Stage(metrics.Write, writing)
	switch {
	case created:
		j.log(time.Since(writing))
	case recorded.Contradicts(j.verdict):
		err := &ContradictionError{Recorded: recorded, Found: j.verdict}
		a.Log.Error().Uint64("epoch", recorded.Epoch).Err(err).Msg("verdict contradicts the one on record")
		return recorded, errors.Join(err, j.putEvidence(ctx, "contradiction", j.verdict))
	}
	return recorded, nil
}

// recordPieces writes everything but the verdict.
func (j *judgement) recordPieces(ctx context.Context) error {
	a := j.auditor
	epoch := j.verdict.Epoch
	if j.equivocation != nil {
		if err := j.putEvidence(ctx, "equivocation", j.equivocation); err != nil {
			return err
		}
	}
	if j.archive != nil {
		err := j.archive.Commit()
		// The source served something else before, to an attempt that got no further. Both are worth a look; the first stays.
		if errors.Is(err, blobstore.ErrDiffers) {
			a.Log.Error().Uint64("epoch", epoch).Err(err).Msg("archived batch is not the one judged")
			err = j.putEvidence(ctx, "other-batch", j.verdict.Batch)
		}
		if err != nil {
			return err
		}
	}
	if j.signed != nil {
		err := a.Store.PutSignature(ctx, a.Namespace, epoch, j.signed)
		if errors.Is(err, blobstore.ErrDiffers) {
			// Signed again, which is allowed, or for another digest, which the verdict then on record contradicts.
			a.Log.Warn().Uint64("epoch", epoch).Err(err).Msg("another signed digest is on record")
			err = j.putEvidence(ctx, "signature", json.RawMessage(j.signed))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putEvidence keeps a piece under a name that holds its hash, so that what several attempts find stands side by side.
func (j *judgement) putEvidence(ctx context.Context, kind string, piece any) error {
	data, err := json.Marshal(piece)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%.8x.json", kind, sha256.Sum256(data))
	return j.auditor.Store.PutEvidence(ctx, j.auditor.Namespace, j.verdict.Epoch, name, data)
}

// log writes the epoch's one line.
func (j *judgement) log(writing time.Duration) {
	v := j.verdict
	level, message := zerolog.InfoLevel, "epoch verified"
	if v.Outcome == blobstore.Rejected {
		level, message = zerolog.ErrorLevel, "epoch rejected"
	}
	event := j.auditor.Log.WithLevel(level).Str("namespace", v.Namespace).Uint64("epoch", v.Epoch).Str("outcome", v.Outcome)
	if v.Outcome == blobstore.Rejected {
		event.Str("reason", v.Reason).Str("detail", v.Detail)
	}
	event.Int("inserted", v.Inserted).Int("unchanged", v.Unchanged).
		Int64("bytes", v.Batch.Bytes).Int64("stored_bytes", v.Batch.StoredBytes).Str("compression", v.Batch.Compression).
		Str("signature", v.Signature.Status).
		Float64("locate_seconds", j.located.Seconds()).Float64("signature_seconds", j.signatureChecked.Seconds()).
		Float64("verify_seconds", v.VerifySeconds).Float64("write_seconds", writing.Seconds()).
		Msg(message)
}
