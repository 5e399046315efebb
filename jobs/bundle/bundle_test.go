package bundle_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	batches "github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// key is the log's, in hexadecimal.
var key = hex.EncodeToString(jobstest.Key().Public().(ed25519.PublicKey))

// newAuditor audits a simulated log and collects evidence.
func newAuditor(t *testing.T, w *jobstest.World, signed bool) *audit.Auditor {
	t.Helper()
	c := audit.Config{
		Namespace: jobstest.Namespace, Configuration: validator.WhatsAppV1(), Fetcher: w.Fetcher, Store: w.Store,
		Budget: batches.NewBudget(256 << 20), Software: "ktaudit test", Log: zerolog.Nop(), First: 1,
		Evidence: newCollector(w),
	}
	if signed {
		c.Keys, c.Signatures = w.Keys, w.Signatures
	}
	a, err := audit.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newCollector(w *jobstest.World) *evidence.Collector {
	return &evidence.Collector{
		Namespace: jobstest.Namespace, Fetcher: w.Fetcher, Store: w.Store, Signatures: w.Signatures,
		MaxBatches: 4, MaxBytes: 1 << 20, Software: "ktaudit test", Log: zerolog.Nop(),
	}
}

// write makes a bundle of the store alone, after the log has deleted everything.
func write(t *testing.T, w *jobstest.World, epoch uint64) []byte {
	t.Helper()
	for _, key := range jobstest.Keys(t, w.Log) {
		jobstest.MoveObject(t, w.Log, key, "")
	}
	for _, key := range jobstest.Keys(t, w.Signatures) {
		jobstest.MoveObject(t, w.Signatures, key, "")
	}
	var first, again bytes.Buffer
	about := bundle.About{
		Namespace: jobstest.Namespace, Epoch: epoch, Configuration: "whatsapp_v1", VerifyingKeys: []string{key}, Software: "ktaudit test",
	}
	for _, b := range []*bytes.Buffer{&first, &again} {
		if _, err := bundle.Write(t.Context(), b, w.Store, about); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same store made two different bundles")
	}
	return first.Bytes()
}

func verify(ctx context.Context, data []byte, keys signature.Keys) (bundle.Checked, error) {
	return verifyAs(ctx, data, keys, validator.Configuration{})
}

func verifyAs(ctx context.Context, data []byte, keys signature.Keys, c validator.Configuration) (bundle.Checked, error) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return bundle.Verify(ctx, open, bundle.Options{Keys: keys, Configuration: c, Limits: validator.Options{MaxElements: 1 << 20, MaxBytes: 1 << 24}})
}

func audits(t *testing.T, w *jobstest.World, signed bool, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		if _, err := newAuditor(t, w, signed).Audit(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
}

// Every kind of incident convicts, from the audit store alone.
func TestBundleConvicts(t *testing.T) {
	t.Parallel()
	tampered := func(kind simlog.Kind) func(*testing.T) (*jobstest.World, uint64) {
		return func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: kind}})
			audits(t, w, true, 1, 2, 3)
			return w, 2
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T) (*jobstest.World, uint64)
		want string // in the proof
	}{
		"malformed proof":     {tampered(simlog.Malformed), "does not prove what its name says: malformed_proof"},
		"wrong digest":        {tampered(simlog.Digest), "digest_mismatch"},
		"overlapping labels":  {tampered(simlog.Overlap), "overlapping_labels"},
		"bad signature":       {tampered(simlog.Signature), "the signed digest of epoch 2 is not valid"},
		"other digest signed": {tampered(simlog.SignedDigest), "signed digest"},
		"two batches":         {tampered(simlog.Equivocate), "epoch 2 has two batches"},
		"contradiction after replacement": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
			audits(t, w, true, 1, 2, 3)
			if err := w.Log.WriteAll(t.Context(), w.KeyOf(t, 2), []byte("replaced"), nil); err != nil {
				t.Fatal(err)
			}
			_, err := newAuditor(t, w, true).Reaudit(t.Context(), 2)
			if _, ok := errors.AsType[*audit.ContradictionError](err); !ok {
				t.Fatal(err)
			}
			return w, 2
		}, "malformed_proof"},
		"withdrawn, one of several": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 4})
			audits(t, w, true, 1, 2, 3, 4)
			raiseWithdrawn(t, w, 2, 4, 3)
			return w, 3
		}, "for epoch 3, so there was one"},
		"withdrawn, and found by a walk of names, too": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 4})
			audits(t, w, true, 1, 2, 3, 4)
			raiseWithdrawn(t, w, 3, 3, 3)
			changed := incident.Evidence{Kind: "names-changed", Data: []byte(`{"changes":[{"epoch":3,"change":"went"}]}`), Extension: ".json"}
			jobstest.Must(t, incident.Recorder{Store: w.Store}.PutEvidence(t.Context(), jobstest.Namespace, 3, changed))
			return w, 3
		}, "for epoch 3, so there was one"},
		"broken neighbours, found while judging": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewSplicedWorld(t)
			audits(t, w, false, 10, 11)
			return w, 11
		}, "epoch 11 does not begin where epoch 10 ended"},
		"broken neighbours, found in the record": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewSplicedWorld(t)
			return w, recordBroken(t, w, verdict.BrokenChain, 10, 11)
		}, "epoch 11 does not begin where epoch 10 ended"},
		"rollback": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.EmptyWorld(t)
			root := os.DirFS("../../testdata/hostile/rollback")
			err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				data, err := fs.ReadFile(root, path)
				if err == nil {
					err = w.Log.WriteAll(t.Context(), path, data, nil)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return w, recordBroken(t, w, verdict.Rollback, 3, 8)
		}, "epoch 8 goes on from epoch 3"},
		"island": {func(t *testing.T) (*jobstest.World, uint64) {
			w := jobstest.NewSplicedWorld(t)
			jobstest.Must(t, w.Log.WriteAll(t.Context(), w.KeyOf(t, 10), []byte("rejected"), nil))
			return w, recordBroken(t, w, verdict.Island, 10, 11)
		}, "epoch 11 does not begin where epoch 10, which is rejected, says that it ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, epoch := c.make(t)
			data := write(t, w, epoch)
			got, err := verify(t.Context(), data, signature.Keys{})
			if err != nil {
				t.Fatal(err)
			}
			shown, _ := json.MarshalIndent(got, "", " ")
			if got.Result != bundle.Shown || got.Holds || !strings.Contains(string(shown), c.want) {
				t.Errorf("it does not convict, or not for %q:\n%s", c.want, shown)
			}
			if got, err := verify(t.Context(), data, w.Keys); err != nil || got.Result != bundle.Shown || !got.OwnKeys {
				t.Errorf("with keys of one's own: %+v, %v", got.Claims, err)
			}
		})
	}
}

// raiseWithdrawn records what a scheduler does of epochs that are gone from the log, one of which
// it collects evidence on.
func raiseWithdrawn(t *testing.T, w *jobstest.World, from, to, collected uint64) {
	t.Helper()
	v, err := w.Store.Verdict(t.Context(), jobstest.Namespace, collected)
	jobstest.Must(t, err)
	jobstest.MoveObject(t, w.Log, v.Batch.Key, "")
	newCollector(w).On(t.Context(), incident.Concern{
		Epoch: collected, Reason: verdict.Reason(alert.Withdrawn), Detail: "it is gone", Batches: []incident.Batch{incident.BatchOf(v)},
	})
	r := incident.Recorder{Store: w.Store, Log: zerolog.Nop()}
	jobstest.Must(t, r.Raise(t.Context(), alert.OfWithdrawn(jobstest.Namespace, from, to, time.Now())))
}

// recordBroken judges two epochs that are not of one log, without looking at the other, and records
// what a scheduler finds.
func recordBroken(t *testing.T, w *jobstest.World, reason verdict.Reason, first, second uint64) uint64 {
	t.Helper()
	var found []verdict.Verdict
	for _, epoch := range []uint64{first, second} {
		apart := *w
		apart.Store = jobstest.EmptyWorld(t).Store
		v, err := newAuditor(t, &apart, false).Audit(t.Context(), epoch)
		want := verdict.Verified
		if reason == verdict.Island && epoch == first {
			want = verdict.Rejected
		}
		if err != nil || v.Outcome != want {
			t.Fatalf("epoch %d: %s %s, %v", epoch, v.Outcome, v.Detail, err)
		}
		if _, _, err := w.Store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		found = append(found, v)
	}
	r := incident.Recorder{Store: w.Store, Log: zerolog.Nop(), Collect: newCollector(w).On}
	if err := r.RecordBrokenChain(t.Context(), reason, found[0], found[1]); err != nil {
		t.Fatal(err)
	}
	return second
}

// There is no bundle on an epoch with which all is well.
func TestNothingToConvict(t *testing.T) {
	t.Parallel()
	w := jobstest.NewWorld(t, simlog.Options{Epochs: 2})
	audits(t, w, true, 1, 2)
	_, err := bundle.Write(t.Context(), io.Discard, w.Store, bundle.About{Namespace: jobstest.Namespace, Epoch: 2, Configuration: "whatsapp_v1"})
	if !errors.Is(err, bundle.ErrNothing) {
		t.Errorf("error is %v", err)
	}
}

// From what an honest log published and signed anybody can make a bundle whose batches contradict
// each other. None of it is shown as proven by signatures alone, as two signatures are.
func TestOnlySignaturesNeedNoBelief(t *testing.T) {
	t.Parallel()
	honest := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
	w := jobstest.NewWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Previous}})
	before, err := w.Log.ReadAll(t.Context(), w.KeyOf(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	keyBefore := w.KeyOf(t, 1)
	audits(t, w, true, 1, 2, 3)
	v, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 2)
	if err != nil {
		t.Fatal(err)
	}
	var other string // the digest from which the batch proves the one that is signed
	if _, err := fmt.Sscanf(v.Detail, "the unchanged nodes give %64s", &other); err != nil {
		t.Fatalf("%q: %v", v.Detail, err)
	}
	files := unpack(t, write(t, w, 2))
	var m bundle.Manifest
	if err := json.Unmarshal(bytes.ReplaceAll(files[0].data, []byte(v.PreviousDigest), []byte(other)), &m); err != nil {
		t.Fatal(err)
	}
	m.Files = append(m.Files, bundle.File{Path: "batches/before", Keys: []string{keyBefore}})
	if files[0].data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	files = append(edit("verdicts/000000000002", func(b []byte) []byte {
		return bytes.Replace(b, []byte(v.Reason), []byte(verdict.Equivocation), 1)
	})(files), file{"batches/before", before})
	got, err := verify(t.Context(), pack(t, fit(t, files)), w.Keys)
	if err != nil || got.Result != bundle.Shown || !strings.Contains(got.Claims[0].Proof, "epoch 2 does not begin where epoch 1 ended") {
		t.Fatalf("the forged bundle: %+v, %v", got.Claims, err)
	}
	if len(got.BySignatures) != 0 {
		t.Errorf("signatures are said to prove %q", got.BySignatures)
	}

	w = jobstest.NewWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.SignedDigest}})
	audits(t, w, true, 1, 2)
	signed, err := honest.Signatures.ReadAll(t.Context(), "2.json")
	if err != nil {
		t.Fatal(err)
	}
	files = append(unpack(t, write(t, w, 2)), file{"evidence/signature-0.json", signed})
	got, err = verify(t.Context(), pack(t, fit(t, files)), w.Keys)
	if err != nil || !got.Holds || len(got.BySignatures) != 1 || !strings.Contains(got.BySignatures[0], "two digests are signed for epoch 2") {
		t.Errorf("signatures are said to prove %q, %v", got.BySignatures, err)
	}
}
