package transparency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// Absence says that a log never published an epoch. It is in package verdict so that proofs of it
// can be checked where there is no audit store.
type Absence = verdict.Absence

var (
	// ErrJudged says that an epoch has a verdict, so that it cannot be recorded as absent.
	ErrJudged = errors.New("the epoch has a verdict")
	// ErrCovered says that an epoch has its entry in the verdict log, or comes before the first.
	ErrCovered = errors.New("the epoch's place in the verdict log is settled")
)

// absent is the folder of absences, {shard}/{epoch}.json.
const absent = "absent"

func absenceName(epoch uint64) string {
	return absent + "/" + verdict.ShardName(epoch/verdict.EpochsPerShard) + "/" + verdict.EpochName(epoch) + ".json"
}

// PutAbsence records, once, that a log never published an epoch, and returns what is on record: the
// caller's, or that of whoever was first. ErrJudged if the epoch has a verdict, ErrCovered if its
// entry is settled. A verdict that comes at the same time is no harm: the plan of the log says
// which of them is the entry.
func (l *Log) PutAbsence(ctx context.Context, epoch uint64, by, why string, at time.Time) (Absence, error) {
	a := Absence{
		Schema: verdict.Schema, Namespace: l.namespace, Epoch: epoch, Outcome: verdict.NotPublished, By: by, Reason: why, At: at.UTC(),
	}
	data, err := a.Encode()
	if err != nil {
		return Absence{}, fmt.Errorf("absence of epoch %d of %q: %w", epoch, l.namespace, err)
	}
	if err := l.isOpen(ctx, epoch); err != nil {
		return Absence{}, fmt.Errorf("epoch %d of %s: %w", epoch, l.namespace, err)
	}
	data, err = l.files.Put(ctx, absenceName(epoch), data, verdict.MaxAbsenceBytes)
	if err != nil {
		return Absence{}, err
	}
	return absenceAt(data, l.namespace, epoch)
}

// isOpen returns nil if an epoch has neither a verdict nor an entry. An absence that is there
// already may be put again.
func (l *Log) isOpen(ctx context.Context, epoch uint64) error {
	if _, _, err := readAbsence(ctx, l.files, l.namespace, epoch); err == nil {
		return nil
	}
	_, _, err := l.store.VerdictAndBytes(ctx, l.namespace, epoch)
	if err == nil {
		return ErrJudged
	}
	if !errors.Is(err, auditstore.ErrNotFound) {
		return err
	}
	first, err := l.First(ctx)
	if errors.Is(err, ErrNoCheckpoint) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := l.newestPlan(ctx)
	if err == nil && (epoch < first || epoch < first+uint64(p.To.Size)) {
		err = ErrCovered
	}
	return err
}

// Absence returns what is on record of the absence of an epoch; auditstore.ErrNotFound if there is
// nothing.
func (l *Log) Absence(ctx context.Context, epoch uint64) (Absence, error) {
	a, _, err := readAbsence(ctx, l.files, l.namespace, epoch)
	return a, err
}

func readAbsence(ctx context.Context, files auditstore.Files, namespace string, epoch uint64) (Absence, []byte, error) {
	data, err := files.Get(ctx, absenceName(epoch), verdict.MaxAbsenceBytes)
	if err != nil {
		return Absence{}, nil, err
	}
	a, err := absenceAt(data, namespace, epoch)
	return a, data, err
}

func absenceAt(data []byte, namespace string, epoch uint64) (Absence, error) {
	a, err := verdict.DecodeAbsence(data)
	if err == nil && (a.Namespace != namespace || a.Epoch != epoch) {
		err = fmt.Errorf("an absence of epoch %d of %q", a.Epoch, a.Namespace)
	}
	if err != nil && !errors.Is(err, verdict.ErrNewerSchema) {
		err = fmt.Errorf("%w: %w", auditstore.ErrCorrupt, err)
	}
	if err != nil {
		return Absence{}, fmt.Errorf("absence of epoch %d of %s: %w", epoch, namespace, err)
	}
	return a, nil
}
