package audit

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// A log that does not begin with the anchor is not judged: neither is it verified, nor do we accuse
// it, for the anchor may be mistyped.
func TestAnchor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 8})
	name, _, err := fetcher.ParseKey(w.KeyOf(t, 6))
	if err != nil {
		t.Fatal(err)
	}
	w.config.First = 6
	w.config.Anchor = verdict.Anchor{Epoch: 5, Digest: strings.Repeat("0a", 32)}
	a := w.auditor(t)
	if err := a.CheckAnchor(t.Context()); err == nil || !strings.Contains(err.Error(), w.config.Anchor.Digest) {
		t.Errorf("the check says %v", err)
	}
	v, err := a.Audit(t.Context(), 6)
	if err == nil || v.Outcome != "" || IsNotYet(err) || !strings.Contains(err.Error(), "anchor") {
		t.Errorf("got %+v, %v", v, err)
	}
	if keys := w.auditStoreKeys(t); len(keys) != 0 {
		t.Errorf("%q were written", keys)
	}
	// The anchor says nothing of other epochs, and nothing against the right log.
	if v, err := a.Audit(t.Context(), 7); err != nil || v.Outcome != verdict.Verified {
		t.Errorf("epoch 7: %+v, %v", v, err)
	}
	w.config.Anchor.Digest = name.PreviousDigest.String()
	a = w.auditor(t)
	if err := a.CheckAnchor(t.Context()); err != nil {
		t.Error(err)
	}
	if v, err := a.Audit(t.Context(), 6); err != nil || v.Outcome != verdict.Verified {
		t.Errorf("epoch 6: %+v, %v", v, err)
	}
}
