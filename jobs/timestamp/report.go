package timestamp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// maxReports is how many reports on an epoch are kept: an honest log makes one.
const maxReports = 10

// ErrTooManyReports: as many reports on the epoch are on record as are kept.
var ErrTooManyReports = errors.New("too many reports on the epoch are on record")

// KeepReport puts on record what a log says that it signed itself while no auditor did. It is kept
// as evidence: nothing goes by it. To repeat it changes nothing.
func KeepReport(ctx context.Context, store *auditstore.Store, namespace string, epoch uint64, data []byte) error {
	kept, err := store.EvidenceNames(ctx, namespace, epoch)
	if err != nil {
		return err
	}
	e := incident.Evidence{Kind: "report", Data: data, Extension: ".json"}
	if slices.Contains(kept, e.Name()) {
		return nil
	}
	if countOf("report-", kept) >= maxReports {
		return fmt.Errorf("epoch %d of %s: %w", epoch, namespace, ErrTooManyReports)
	}
	return store.PutEvidence(ctx, namespace, epoch, e.Name(), data)
}
