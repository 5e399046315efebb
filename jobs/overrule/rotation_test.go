package overrule

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

const rotation, last = 331, 336

// rotated is a log that signs with another key from epoch 331 on.
func rotated(t *testing.T) (w *audittest.World, next ed25519.PrivateKey) {
	t.Helper()
	w = audittest.New(t, simlog.Options{First: 327, Epochs: last - 327 + 1})
	w.Config.First = 327
	next = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	for epoch := uint64(rotation); epoch <= last; epoch++ {
		key := fmt.Sprintf("%d.json", epoch)
		data, err := w.Signatures.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		s, err := signature.Parse(data)
		jobstest.Must(t, err)
		s, err = signature.Sign(next, s.Ciphersuite, s.Namespace, s.Timestamp, s.Epoch, s.Digest)
		jobstest.Must(t, err)
		data, err = json.Marshal(s)
		jobstest.Must(t, err)
		jobstest.Must(t, w.Signatures.WriteAll(t.Context(), key, data, nil))
	}
	return w, next
}

// withSameID is another key with the key_id of a key.
func withSameID(key ed25519.PrivateKey) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for n := uint32(0); ; n++ {
		binary.BigEndian.PutUint32(seed, n)
		if other := ed25519.NewKeyFromSeed(seed); other[63] == key[63] {
			return other
		}
	}
}

// trusting returns an auditor that trusts the log's old key up to the rotation, and another one
// from it on, if there is one.
func trusting(t *testing.T, w *audittest.World, next ed25519.PrivateKey) *audit.Auditor {
	t.Helper()
	public := func(key ed25519.PrivateKey) string { return hex.EncodeToString(key[32:]) }
	texts := []string{fmt.Sprintf("%s@-%d", public(jobstest.Key()), rotation-1)}
	if next != nil {
		texts = append(texts, fmt.Sprintf("%s@%d-", public(next), rotation))
	}
	keys, err := signature.ParseKeys(texts)
	jobstest.Must(t, err)
	w.Config.Keys = keys
	return w.Auditor(t)
}

func statusOf(t *testing.T, w *audittest.World) report.Status {
	t.Helper()
	s, err := report.ReadStatus(t.Context(), w.Config.Store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
	jobstest.Must(t, err)
	return s
}

// A rotation whose key is configured late costs no epoch.
func TestRotation(t *testing.T) {
	t.Parallel()
	w, next := rotated(t)
	late := trusting(t, w, nil)
	for epoch := uint64(327); epoch <= last; epoch++ {
		_, err := late.Audit(t.Context(), epoch)
		if epoch < rotation {
			jobstest.Must(t, err)
		} else if !errors.Is(err, signature.ErrUnknownKey) || !audit.IsNotYet(err) {
			t.Errorf("epoch %d: %v, want it to wait", epoch, err)
		}
	}
	a := trusting(t, w, next)
	for epoch := uint64(rotation); epoch <= last; epoch++ {
		if v, err := a.Audit(t.Context(), epoch); err != nil || v.Outcome != verdict.Verified {
			t.Errorf("epoch %d: %s (%s), %v", epoch, v.Outcome, v.Detail, err)
		}
	}
	if s := statusOf(t, w); !s.Good() || s.Head != last {
		t.Errorf("status is %+v", s)
	}
	jobstest.WantNotices(t, w.Config.Store)
}

// A wrong key has honest epochs rejected. Once it is put right they are overruled, and both
// verdicts are on record.
func TestRotationDoneWrongly(t *testing.T) {
	t.Parallel()
	w, next := rotated(t)
	store := w.Config.Store
	wrong := trusting(t, w, withSameID(next))
	for epoch := uint64(327); epoch <= last; epoch++ {
		v, err := wrong.Audit(t.Context(), epoch)
		if rejected := epoch >= rotation; err != nil || rejected != (v.Reason == verdict.SignatureInvalid) {
			t.Fatalf("epoch %d: %s (%s), %v", epoch, v.Outcome, v.Reason, err)
		}
	}
	if s := statusOf(t, w); s.Good() || s.Head != rotation-1 {
		t.Fatalf("status is %+v", s)
	}
	before, object, err := store.VerdictObject(t.Context(), jobstest.Namespace, rotation)
	jobstest.Must(t, err)

	a := trusting(t, w, next)
	for _, epoch := range []uint64{334, 331, 336, 332, 333, 335} { // in any order
		o, err := Overrule(t.Context(), a, epoch, "ops", "wrong key configured")
		if err != nil || o.Verdict.Outcome != verdict.Verified || o.Number != 1 || o.Overruled.Reason != verdict.SignatureInvalid {
			t.Fatalf("epoch %d: %+v, %v", epoch, o, err)
		}
	}
	s := statusOf(t, w)
	if !s.Good() || s.Head != last || s.OverruledCount != 6 || len(s.Overruled) != 6 || s.Overruled[0].Was != verdict.Rejected {
		t.Errorf("status is %+v", s)
	}
	h, err := report.ReadHead(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0)
	if last, _ := store.Overruling(t.Context(), jobstest.Namespace, last); err != nil || h.Digest != last.Verdict.Digest || h.OverruledCount != 6 {
		t.Errorf("head is %+v, %v", h, err)
	}
	after, again, err := store.VerdictObject(t.Context(), jobstest.Namespace, rotation)
	if err != nil || again != object || after.Outcome != before.Outcome {
		t.Errorf("the verdict on record changed: %+v, %v", after, err)
	}
	notices := jobstest.Notices(t, store)
	if !slices.Contains(notices, "2-overruled.000000000331-001") || !slices.Contains(notices, "1-rejected.000000000331") {
		t.Errorf("alerts are %q", notices)
	}

	// What comes after is held against the verdict that counts, and so is a new look.
	if _, err := a.Reaudit(t.Context(), rotation); err != nil {
		t.Errorf("a new look at an overruled epoch: %v", err)
	}
	if _, err := wrong.Reaudit(t.Context(), rotation); err == nil {
		t.Error("a new look with the wrong key contradicts nothing")
	}

	// The next one counts, whatever it says.
	o, err := Overrule(t.Context(), wrong, rotation, "ops", "by mistake")
	if err != nil || o.Number != 2 || o.Verdict.Outcome != verdict.Rejected || o.Overruled.Outcome != verdict.Verified {
		t.Errorf("second overruling: %+v, %v", o, err)
	}
	// That it was acknowledged once does not count for the new rejection.
	if s := statusOf(t, w); s.Good() || !s.Wrong(false) || s.Head != rotation-1 || s.RejectedCount != 1 {
		t.Errorf("status is %+v", s)
	}
}

func TestWhatCannotBeOverruled(t *testing.T) {
	t.Parallel()
	w, next := rotated(t)
	a := trusting(t, w, next)
	if _, err := Overrule(t.Context(), a, rotation, "ops", "because"); !errors.Is(err, ErrUnjudged) {
		t.Errorf("an epoch without a verdict: %v", err)
	}
	_, err := a.Audit(t.Context(), rotation)
	jobstest.Must(t, err)
	for _, c := range [][2]string{{"", "because"}, {"ops", " "}, {"ops", "two\nlines"}} {
		if _, err := Overrule(t.Context(), a, rotation, c[0], c[1]); err == nil {
			t.Errorf("by %q, because %q", c[0], c[1])
		}
	}
	late := trusting(t, w, nil)
	if _, err := Overrule(t.Context(), late, rotation, "ops", "because"); !errors.Is(err, signature.ErrUnknownKey) {
		t.Errorf("without the key: %v", err)
	}
	if _, err := w.Config.Store.Overruling(t.Context(), jobstest.Namespace, rotation); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("something was recorded: %v", err)
	}
	jobstest.WantNotices(t, w.Config.Store)
}
