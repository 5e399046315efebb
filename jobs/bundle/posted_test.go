package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
)

// A post is not signed by the log: that there were two is a claim, and convicts nobody by itself.
func TestPostedTwice(t *testing.T) {
	t.Parallel()
	w := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
	audits(t, w, false, 1, 2, 3)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	record := timestamp.Conflict(incident.Recorder{Store: w.Store}, jobstest.Namespace)
	jobstest.Must(t, record(t.Context(), auditor.Conflict{
		Epoch: 2, Posted: validator.Digest{7}.String(), Signed: signedAs(t, key, jobstest.Namespace, 2, validator.Digest{6}), By: "bearer token",
	}))
	keys, err := signature.ParseKeys([]string{public(key)})
	jobstest.Must(t, err)
	checked, err := verify(t.Context(), write(t, w, 2), keys)
	jobstest.Must(t, err)
	if len(checked.Claims) != 1 || !strings.Contains(checked.Claims[0].Claim, "two digests were posted for epoch 2") || checked.Result != bundle.NotShown {
		t.Errorf("%s: %+v", checked.Result, checked.Claims)
	}
}
