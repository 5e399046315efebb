package audit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/gcerrors"
)

func TestEvidenceIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 4, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate, 3: simlog.Malformed}})
	a := w.auditor(t)

	v, err := a.Audit(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.config.Fetcher.Locate(t.Context(), 2)
	published, ok := errors.AsType[*fetcher.EquivocationError](err)
	if !ok {
		t.Fatal(err)
	}
	if !strings.HasPrefix(v.Batch.Key, fmt.Sprintf("2/%s/%s", v.PreviousDigest, v.Digest)) || v.Batch.Key != published.Keys[0] {
		t.Errorf("the verdict is on %s, want %s", v.Batch.Key, published.Keys[0])
	}
	for _, key := range published.Keys {
		if !strings.Contains(v.Detail, key) {
			t.Errorf("detail %q does not name %s", v.Detail, key)
		}
	}
	if got := w.Evidence(t, 2); len(got) != 1 || !strings.Contains(got[0], published.Keys[1]) {
		t.Errorf("evidence is %q, want one that names %s", got, published.Keys[1])
	}

	if _, err := a.Audit(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	w.WantArchived(t, 3)
	if _, err := w.config.Store.OpenArchive(t.Context(), jobstest.Namespace, 4); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("an unjudged batch is archived: %v", err)
	}
}

func TestArchiveKeepsEveryBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 4, Compression: simlog.Mixed, Tamper: map[uint64]simlog.Kind{3: simlog.Malformed}})
	w.config.Archive = true
	a := w.auditor(t)
	for epoch := uint64(1); epoch <= 4; epoch++ {
		if _, err := a.Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
		w.WantArchived(t, epoch)
	}
}

func TestContradictionLeavesTheVerdictAndIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	a := w.auditor(t)
	measured := &attempt{Attempt: observe.Nothing{}}
	first, j := w.judgeReplaced(t, a, measured)
	recorded, _, err := a.record(t.Context(), measured, j)
	if _, ok := errors.AsType[*ContradictionError](err); !ok {
		t.Fatalf("error is %v, want a ContradictionError", err)
	}
	if recorded.Outcome != first.Outcome {
		t.Errorf("on record is %s, want %s", recorded.Outcome, first.Outcome)
	}
	if got := w.Evidence(t, 1); len(got) != 1 || !strings.Contains(got[0], `"reason":"malformed_proof"`) {
		t.Errorf("evidence is %q", got)
	}
}

// A contradiction that a second look does not show is none: the batch was there again, whole.
func TestContradictionIsLookedAtAfresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	a := w.auditor(t)
	measured := &attempt{Attempt: observe.Nothing{}}
	honest, err := w.batch(t, 1)
	if err != nil {
		t.Fatal(err)
	}
	first, j := w.judgeReplaced(t, a, measured)
	overwrite(1, honest)(t, w, nil)
	if err := a.contradict(t.Context(), measured, first, j, false); !errors.Is(err, errDisagree) {
		t.Errorf("error is %v, want one that says that the two looks disagree", err)
	}
	if got := w.Evidence(t, 1); len(got) != 0 {
		t.Errorf("evidence is %q", got)
	}
	jobstest.WantNotices(t, w.config.Store)
}

// judgeReplaced gives epoch 1 a verdict and replaces its batch, and returns the verdict and what a
// worker makes of the epoch now.
func (w *world) judgeReplaced(t *testing.T, a *Auditor, measured *attempt) (verdict.Verdict, judgement) {
	t.Helper()
	recorded, err := a.Audit(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(1, []byte("replaced"))(t, w, nil)
	j, err := a.judge(t.Context(), measured, 1, false)
	if err != nil || j.verdict.Outcome != verdict.Rejected {
		t.Fatalf("%s, %v", j.verdict.Outcome, err)
	}
	return recorded, j
}

// Another history that a log shows once is on record, though a second look does not show it.
func TestAnotherHistoryStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	w.config.Keys, w.config.Signatures = signature.Keys{}, nil
	_, err := w.config.Fetcher.Locate(t.Context(), 2)
	both, ok := errors.AsType[*fetcher.EquivocationError](err)
	if !ok {
		t.Fatal(err)
	}
	data := map[string][]byte{}
	for _, key := range both.Keys {
		data[key], err = w.Log.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
	}
	show := func(key, other string) {
		jobstest.Must(t, w.Log.WriteAll(t.Context(), key, data[key], nil))
		if err := w.Log.Delete(t.Context(), other); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			t.Fatal(err)
		}
	}
	a, one, other := w.auditor(t), both.Keys[0], both.Keys[1]
	show(one, other)
	recorded, err := a.Audit(t.Context(), 2)
	if err != nil || recorded.Outcome != verdict.Verified {
		t.Fatalf("%+v, %v", recorded, err)
	}
	show(other, one)
	measured := &attempt{Attempt: observe.Nothing{}}
	j, err := a.judge(t.Context(), measured, 2, false)
	jobstest.Must(t, err)
	show(one, other) // before anybody looks again
	err = a.contradict(t.Context(), measured, recorded, j, false)
	if found, ok := errors.AsType[*ContradictionError](err); !ok || found.Found.Digest == recorded.Digest {
		t.Errorf("error is %v, want a ContradictionError", err)
	}
	jobstest.WantNotices(t, w.config.Store, "1-equivocation.000000000002")
}
