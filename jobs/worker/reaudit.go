package worker

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

// reaudit makes one attempt to audit an epoch that has a verdict once more. An epoch of which there
// is nothing to see leaves the queue: whoever looks at what the log lists finds that out, and a
// task that waits for it would wait for ever.
func (w *Worker) reaudit(ctx context.Context, auditor *audit.Auditor, epoch uint64, t *queue.Taken) error {
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)
	_, err := auditor.Reaudit(ctx, epoch)
	if _, contradicted := errors.AsType[*audit.ContradictionError](err); contradicted {
		return nil // it is on record, and the auditor has said so
	}
	if isUnseen(err) {
		w.log.Warn().Str("namespace", auditor.Namespace).Uint64("epoch", epoch).Err(err).Msg("epoch cannot be audited again")
		return nil
	}
	return w.failed(auditor, epoch, t, err)
}

// isUnseen reports whether an error says that there is nothing to audit again, or too little.
func isUnseen(err error) bool {
	return errors.Is(err, auditstore.ErrNotFound) || errors.Is(err, fetcher.ErrNotPublished) || errors.Is(err, audit.ErrNoSignature) ||
		errors.Is(err, audit.ErrNeedsKeys)
}
