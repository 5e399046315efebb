package audit

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
)

// A batch that needs a larger window than there is memory for is not judged, and not held against
// the log.
func TestHostileWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	key := w.KeyOf(t, 1)
	part := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(part)
	if err := errors.Join(w.Log.Delete(t.Context(), key), w.Log.WriteAll(t.Context(), key+".zst", wide(t, part), nil)); err != nil {
		t.Fatal(err)
	}
	w.config.Fetcher = fetcher.New(w.Log, fetcher.Options{MaxWindow: 512 << 10})
	if v, err := w.auditor(t).Audit(t.Context(), 1); !errors.Is(err, fetcher.ErrWindow) || IsNotYet(err) {
		t.Errorf("got %s (%s: %s), %v; want a fault", v.Outcome, v.Reason, v.Detail, err)
	}
	if _, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 1); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("on record is %v", err)
	}
}
