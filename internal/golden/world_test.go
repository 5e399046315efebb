package golden_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

const namespace = "golden.key-transparency.v1"

// began is a time with nanoseconds, of which the last digit is a zero that is not written.
var began = time.Date(2026, 3, 4, 5, 6, 7, 123456780, time.UTC)

// world is a simulated log with what it takes to audit it, in memory.
type world struct {
	log, signatures *blob.Bucket
	audit           *recorder
	store           *auditstore.Store
	config          audit.Config
}

// newWorld simulates a log, whose key the auditor trusts.
func newWorld(t *testing.T, o simlog.Options) *world {
	t.Helper()
	seed := sha256.Sum256([]byte("golden"))
	key := ed25519.NewKeyFromSeed(seed[:])
	w := emptyWorld(t)
	o.Namespace, o.SigningKey = namespace, key
	if o.Epochs == 0 {
		o.Epochs = 4
	}
	_, err := simlog.Write(t.Context(), w.log, w.signatures, o, nil)
	must(t, err)
	keys, err := signature.ParseKeys([]string{hex.EncodeToString(key.Public().(ed25519.PublicKey))})
	must(t, err)
	w.config.Keys, w.config.Signatures = keys, w.signatures
	return w
}

// emptyWorld has a log that has published nothing, and trusts no key.
func emptyWorld(t *testing.T) *world {
	t.Helper()
	w := &world{log: openMemory(t), signatures: openMemory(t), audit: newRecorder(t)}
	w.store = auditstore.New(blob.NewBucket(w.audit))
	w.config = audit.Config{
		Namespace:     namespace,
		Configuration: validator.WhatsAppV1(),
		Fetcher:       fetcher.New(w.log, fetcher.Options{Backoff: time.Millisecond, MaxAttempts: 2}),
		Store:         w.store,
		First:         1,
		Budget:        verify.NewBudget(256 << 20),
		Software:      "ktaudit golden",
		Log:           zerolog.Nop(),
	}
	return w
}

func openMemory(t *testing.T) *blob.Bucket {
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) auditor(t *testing.T) *audit.Auditor {
	t.Helper()
	a, err := audit.New(w.config)
	must(t, err)
	return a
}

// judge has an epoch audited, which is to come to an outcome, and returns what was stored.
func (w *world) judge(t *testing.T, epoch uint64, outcome string) []object {
	t.Helper()
	v, err := w.auditor(t).Audit(t.Context(), epoch)
	must(t, err)
	if v.Outcome != outcome {
		t.Fatalf("epoch %d: %s %s %s, want %s", epoch, v.Outcome, v.Reason, v.Detail, outcome)
	}
	return w.audit.objects()
}

// write puts an object into the log directory.
func (w *world) write(t *testing.T, key string, data []byte) {
	t.Helper()
	must(t, w.log.WriteAll(t.Context(), key, data, nil))
}

// keyOf returns the key of an epoch's batch.
func (w *world) keyOf(t *testing.T, epoch uint64) string {
	t.Helper()
	o, err := w.config.Fetcher.Locate(t.Context(), epoch)
	must(t, err)
	return o.Key
}

// digest is a digest that stands for a number.
func digest(n uint64) string {
	d := sha256.Sum256([]byte{byte(n >> 16), byte(n >> 8), byte(n)})
	return hex.EncodeToString(d[:])
}

// verdict is a verified one whose every field is fixed, from the digest of the epoch before to its
// own.
func verdictOn(epoch uint64) verdict.Verdict {
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Inserted: 20, Unchanged: 30,
		Batch: verdict.Batch{
			Key: "a/key", Bytes: 2000, StoredBytes: 1000, Compression: "zstd", SHA256: digest(epoch + 1<<20),
		},
		Signature: verdict.Signature{Status: "not_required"},
		StartedAt: began, FinishedAt: began.Add(1500 * time.Millisecond), VerifySeconds: 0.25, Software: "ktaudit golden",
	}
}

func (w *world) put(t *testing.T, v verdict.Verdict) {
	t.Helper()
	_, _, err := w.store.PutVerdict(t.Context(), v)
	must(t, err)
}
