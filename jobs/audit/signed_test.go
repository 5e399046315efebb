package audit

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// longAgo and justNow are when the epoch before the first was signed.
var (
	longAgo = time.Now().Add(-100 * 24 * time.Hour)
	justNow = time.Now().Add(-time.Hour)
)

func TestSignedDigests(t *testing.T) {
	t.Parallel()
	// Every case audits epoch 5 of a log that starts at epoch 3.
	for _, c := range []struct {
		name   string
		start  time.Time
		first  uint64
		spoil  func(t *testing.T, w *world)
		reason verdict.Reason // "" = verified
		err    error
	}{
		{name: "all good", start: longAgo},
		{name: "missing", start: longAgo, spoil: unsign(5), err: ErrNoSignature},
		{name: "broken", spoil: breakSignature(5), reason: verdict.SignatureInvalid},
		{name: "for another digest", spoil: resign(5, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 }), reason: verdict.SignatureDigestMismatch},
		{name: "for another epoch", spoil: resign(5, func(s *signature.SignedDigest) { s.Epoch = 6 }), reason: verdict.SignatureInvalid},
		{name: "for another log", spoil: resign(5, func(s *signature.SignedDigest) { s.Namespace = "other" }), reason: verdict.SignatureInvalid},
		{name: "not JSON", spoil: write(5, "nonsense"), reason: verdict.SignatureInvalid},
		{name: "too long", spoil: write(5, string(make([]byte, signature.MaxSize+1))), reason: verdict.SignatureInvalid},
		{name: "by a stranger", spoil: strangersSignature(5), err: signature.ErrUnknownKey},
		{name: "older than the one before", spoil: resign(5, func(s *signature.SignedDigest) { s.Timestamp = 1 }), reason: verdict.SignatureInvalid},
		{name: "as old as the one before", spoil: resign(5, func(s *signature.SignedDigest) { s.Timestamp -= 120_000 })},

		{name: "before: not yet signed", start: justNow, spoil: unsign(4), err: ErrNoSignature},
		{name: "before: never signed", start: longAgo, spoil: unsign(4)},
		{name: "before: not signed, first of the audit", start: justNow, first: 5, spoil: unsign(4)},
		{name: "before: not signed, before the audit", start: justNow, first: 7, spoil: unsign(4)},
		{name: "before: by a stranger, just now", start: justNow, spoil: strangersSignature(4), err: signature.ErrUnknownKey},
		{name: "before: by a stranger, long ago", start: longAgo, spoil: strangersSignature(4)},
		{name: "before: by a stranger, first of the audit", start: justNow, first: 5, spoil: strangersSignature(4)},
		{name: "before: broken is its own fault", spoil: breakSignature(4)},
		{name: "before: other digest is its own fault", spoil: resign(4, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 })},
		{name: "before: other digest, as was published", spoil: forkedBefore, reason: verdict.SignatureDigestMismatch},
		{name: "before: other digest, nothing published", spoil: func(t *testing.T, w *world) {
			resign(4, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 })(t, w)
			jobstest.MoveObject(t, w.Log, w.KeyOf(t, 4), "")
		}, err: errNotYet},
		{name: "before: broken, first of the audit", first: 5, spoil: breakSignature(4), reason: verdict.SignatureInvalid},
		{name: "before: other digest, first of the audit", first: 5,
			spoil: resign(4, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 }), reason: verdict.SignatureDigestMismatch},
		{name: "before: signed later", spoil: resign(4, func(s *signature.SignedDigest) { s.Timestamp += 1 << 40 }), reason: verdict.SignatureInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{First: 3, Epochs: 4, Start: c.start})
			w.config.First = max(c.first, 1)
			if c.spoil != nil {
				c.spoil(t, w)
			}
			v, err := w.auditor(t).Audit(t.Context(), 5)
			if c.err != nil {
				if !errors.Is(err, c.err) && !(c.err == errNotYet && IsNotYet(err)) {
					t.Fatalf("error is %v, want %v", err, c.err)
				}
				if _, err := w.config.Store.Verdict(t.Context(), jobstest.Namespace, 5); !errors.Is(err, auditstore.ErrNotFound) {
					t.Errorf("a verdict was written: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.Reason != c.reason || (c.reason == "") != (v.Outcome == verdict.Verified) {
				t.Errorf("verdict is %s (%s: %s), want reason %q", v.Outcome, v.Reason, v.Detail, c.reason)
			}
		})
	}
}

// A log that signs an epoch again, as with a new key, does not make the next one look as if it had
// been signed too early.
func TestEpochBeforeIsSignedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	a := w.auditor(t)
	for epoch := range uint64(3) {
		if _, err := a.Audit(t.Context(), epoch+1); err != nil {
			t.Fatal(err)
		}
	}
	resign(2, func(s *signature.SignedDigest) { s.Timestamp += 1 << 36 })(t, w)
	for epoch := range uint64(3) {
		if found, err := a.Reaudit(t.Context(), epoch+1); err != nil || found.Outcome != verdict.Verified {
			t.Errorf("epoch %d is %s (%s), %v", epoch+1, found.Outcome, found.Detail, err)
		}
	}
}

var errNotYet = errors.New("not yet, for whatever cause")

func TestWithoutKeysNothingIsRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	w.config.Keys, w.config.Signatures = signature.Keys{}, nil
	v, err := w.auditor(t).Audit(t.Context(), 2)
	if err != nil || v.Signature.Status != verdict.SignatureNotRequired || v.Outcome != verdict.Verified {
		t.Errorf("verdict is %+v, %v", v, err)
	}
}

func TestSignedDigestsFromTheAuditStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	w.config.Signatures = nil
	a := w.auditor(t)
	if _, err := a.Audit(t.Context(), 2); !errors.Is(err, ErrNoSignature) {
		t.Errorf("error is %v, want ErrNoSignature", err)
	}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		data, err := w.Signatures.ReadAll(t.Context(), fmt.Sprintf("%d.json", epoch))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Store.PutSignature(t.Context(), jobstest.Namespace, epoch, data); err != nil {
			t.Fatal(err)
		}
	}
	v, err := a.Audit(t.Context(), 2)
	if err != nil || v.Signature.Status != verdict.SignatureVerified {
		t.Errorf("verdict is %+v, %v", v, err)
	}
}

// A batch that is wrong in itself is rejected for that, whatever was signed.
func TestBatchGoesBeforeSignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 5, Tamper: map[uint64]simlog.Kind{5: simlog.Delete}})
	breakSignature(5)(t, w)
	v, err := w.auditor(t).Audit(t.Context(), 5)
	if err != nil || v.Reason != verdict.PreviousDigestMismatch || v.Signature.Status != verdict.SignatureRejected {
		t.Errorf("verdict is %s (%s), signature %s, %v", v.Outcome, v.Reason, v.Signature.Status, err)
	}
}

// What the source no longer has, or has in another form, is on record.
func TestSignedDigestBeforeIsOnRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		first  uint64
		spoil  func(*testing.T, *world) // after epoch 4 was judged
		reason verdict.Reason           // of epoch 5
	}{
		{name: "taken away", spoil: unsign(4)},
		{name: "taken away, and later than this one", spoil: func(t *testing.T, w *world) {
			unsign(4)(t, w)
			resign(5, func(s *signature.SignedDigest) { s.Timestamp = 1 })(t, w)
		}, reason: verdict.SignatureInvalid},
		{name: "broken", spoil: breakSignature(4)},
		{name: "broken, and later than this one", spoil: func(t *testing.T, w *world) {
			breakSignature(4)(t, w)
			resign(5, func(s *signature.SignedDigest) { s.Timestamp = 1 })(t, w)
		}, reason: verdict.SignatureInvalid},
		{name: "broken, first of this audit", first: 5, spoil: breakSignature(4)},
		{name: "for another digest, first of this audit", first: 5, spoil: resign(4, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{First: 3, Epochs: 4, Start: justNow})
			w.config.First = 3
			if v, err := w.auditor(t).Audit(t.Context(), 4); err != nil || v.Outcome != verdict.Verified {
				t.Fatalf("verdict is %s (%s), %v", v.Outcome, v.Detail, err)
			}
			c.spoil(t, w)
			w.config.First = max(c.first, 3)
			v, err := w.auditor(t).Audit(t.Context(), 5)
			if err != nil || v.Reason != c.reason {
				t.Errorf("verdict is %s (%s: %s), %v, want reason %q", v.Outcome, v.Reason, v.Detail, err, c.reason)
			}
		})
	}
}

// A wrong signed digest is what shows that an epoch was rightly rejected, and its source may
// replace it.
func TestWrongSignedDigestsAreKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		first uint64
		spoil func(*testing.T, *world)
		keeps []uint64 // the epochs whose signed digest is evidence
	}{
		{"broken", 0, breakSignature(5), []uint64{5}},
		{"nonsense", 0, write(5, "nonsense"), []uint64{5}},
		{"empty", 0, write(5, ""), []uint64{5}},
		{"for another digest", 0, resign(5, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 }), []uint64{5}},
		{"older than the one before", 0, resign(5, func(s *signature.SignedDigest) { s.Timestamp = 1 }), []uint64{4, 5}},
		{"before: other digest, as was published", 0, forkedBefore, []uint64{4, 5}},
		{"before: broken, first of the audit", 5, breakSignature(4), []uint64{4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{First: 3, Epochs: 4})
			w.config.First = max(c.first, 1)
			c.spoil(t, w)
			v, err := w.auditor(t).Audit(t.Context(), 5)
			if err != nil || v.Outcome != verdict.Rejected {
				t.Fatalf("verdict is %s, %v", v.Outcome, err)
			}
			var want []string
			for _, epoch := range c.keeps {
				data, err := w.Signatures.ReadAll(t.Context(), fmt.Sprintf("%d.json", epoch))
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, string(data))
			}
			got := w.Evidence(t, 5)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("evidence differs (-want +got):\n%s", diff)
			}
			w.WantArchived(t, 5)
		})
	}
	w := newWorld(t, simlog.Options{Epochs: 1})
	write(1, strings.Repeat(" ", signature.MaxSize+1))(t, w)
	if _, err := w.auditor(t).Audit(t.Context(), 1); err != nil || len(w.Evidence(t, 1)) != 1 || len(w.Evidence(t, 1)[0]) != signature.MaxSize {
		t.Errorf("of one that is too long, %d pieces are kept, %v", len(w.Evidence(t, 1)), err)
	}
}

func TestAnotherSignedDigestOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	a := w.auditor(t)
	if err := a.Store.PutSignature(t.Context(), jobstest.Namespace, 2, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	v, err := a.Audit(t.Context(), 2)
	if err != nil || v.Outcome != verdict.Verified {
		t.Fatalf("verdict is %+v, %v", v, err)
	}
	if got := w.Evidence(t, 2); len(got) != 1 {
		t.Errorf("evidence is %q, want the signed digest that was not recorded", got)
	}
}

func write(epoch uint64, data string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		if err := w.Signatures.WriteAll(t.Context(), fmt.Sprintf("%d.json", epoch), []byte(data), nil); err != nil {
			t.Fatal(err)
		}
	}
}

func unsign(epoch uint64) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		jobstest.MoveObject(t, w.Signatures, fmt.Sprintf("%d.json", epoch), "")
	}
}

// resign changes a signed digest and signs it again with a key of the log's.
func resign(epoch uint64, change func(*signature.SignedDigest)) func(*testing.T, *world) {
	return signWith(jobstest.Key(), epoch, change)
}

func strangersSignature(epoch uint64) func(*testing.T, *world) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return signWith(key, epoch, func(*signature.SignedDigest) {})
}

func signWith(key ed25519.PrivateKey, epoch uint64, change func(*signature.SignedDigest)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		s := readSigned(t, w, epoch)
		change(&s)
		s, err := signature.Sign(key, s.Ciphersuite, s.Namespace, s.Timestamp, s.Epoch, s.Digest)
		if err != nil {
			t.Fatal(err)
		}
		writeSigned(t, w, epoch, s)
	}
}

func breakSignature(epoch uint64) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		s := readSigned(t, w, epoch)
		s.Signature[0] ^= 1
		writeSigned(t, w, epoch, s)
	}
}

func readSigned(t *testing.T, w *world, epoch uint64) signature.SignedDigest {
	t.Helper()
	data, err := w.Signatures.ReadAll(t.Context(), fmt.Sprintf("%d.json", epoch))
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writeSigned(t *testing.T, w *world, epoch uint64, s signature.SignedDigest) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	write(epoch, string(data))(t, w)
}

// forkedBefore has epoch 4 published and signed with a digest that epoch 5 does not begin with.
func forkedBefore(t *testing.T, w *world) {
	t.Helper()
	key := w.KeyOf(t, 4)
	name, _, err := fetcher.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name.Digest[0] ^= 1
	jobstest.MoveObject(t, w.Log, key, name.String())
	resign(4, func(s *signature.SignedDigest) { s.Digest = name.Digest })(t, w)
}
