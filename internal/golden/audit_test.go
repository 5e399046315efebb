package golden_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/reaudited"
	"github.com/ktaudit/ktaudit/verdict"
)

// auditSigned audits an epoch by its signed digest.
func auditSigned(t *testing.T) []object {
	return newWorld(t, simlog.Options{}).judge(t, 2, verdict.Verified)
}

func auditWithoutKeys(t *testing.T) []object {
	o := newWorld(t, simlog.Options{})
	o.config.Keys, o.config.Signatures = emptyWorld(t).config.Keys, nil
	return o.judge(t, 2, verdict.Verified)
}

// putVerdicts stores verdicts with fixed times. One has all fields and a detail that must be
// escaped.
func putVerdicts(t *testing.T) []object {
	w := emptyWorld(t)
	w.put(t, verdictOn(999))
	v := verdictOn(123456789012)
	keyID := uint8(0)
	v.Outcome, v.Reason = verdict.Rejected, "malformed_proof"
	v.Detail = "quote \" backslash \\ newline \n tab \t bell \a <html> & 'apostrophe' é \u2028 end"
	v.Signature = verdict.Signature{Status: "verified", KeyID: &keyID, Timestamp: 1780000000123}
	v.StartedAt, v.FinishedAt, v.VerifySeconds = began.Truncate(time.Second), began.Truncate(time.Millisecond), 1e-7
	w.put(t, v)
	w.put(t, verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: 1000, Outcome: verdict.Rejected, Reason: "equivocation",
	})
	v = verdictOn(1001)
	v.Batch.ModifiedAt, v.Batch.ETag = began, `"an ETag"`
	w.put(t, v)
	return w.audit.objects()
}

// putReaudited notes that a batch was judged again with another listing.
func putReaudited(t *testing.T) []object {
	w := emptyWorld(t)
	b := verdictOn(1001).Batch
	b.ModifiedAt, b.ETag = began, `"an ETag"`
	must(t, reaudited.Put(t.Context(), w.store, namespace, 1001, b))
	return w.audit.objects()
}

func auditMalformed(t *testing.T) []object {
	w := newWorld(t, simlog.Options{Tamper: map[uint64]simlog.Kind{2: simlog.Malformed}})
	return w.judge(t, 2, verdict.Rejected)
}

func auditBadSignature(t *testing.T) []object {
	w := newWorld(t, simlog.Options{Tamper: map[uint64]simlog.Kind{2: simlog.Signature}})
	return w.judge(t, 2, verdict.Rejected)
}

// auditBadSignatureBefore audits the first epoch, before which a signed digest is wrong.
func auditBadSignatureBefore(t *testing.T) []object {
	w := newWorld(t, simlog.Options{Tamper: map[uint64]simlog.Kind{1: simlog.Signature}})
	w.config.First = 2
	return w.judge(t, 2, verdict.Rejected)
}

// auditSignedAgain finds another signed digest on record than the log has now.
func auditSignedAgain(t *testing.T) []object {
	w := newWorld(t, simlog.Options{})
	must(t, w.store.PutSignature(t.Context(), namespace, 2, []byte("{}\n")))
	return w.judge(t, 2, verdict.Verified)
}

func auditEquivocation(t *testing.T) []object {
	w := newWorld(t, simlog.Options{Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	return w.judge(t, 2, verdict.Rejected)
}

// auditWithFindings collects what else there is on an equivocation.
func auditWithFindings(t *testing.T) []object {
	w := newWorld(t, simlog.Options{Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	w.config.Evidence = &evidence.Collector{
		Namespace: namespace, Fetcher: w.config.Fetcher, Store: w.store, Signatures: w.config.Signatures,
		MaxBatches: 2, MaxBytes: 1 << 20, Software: "ktaudit 1.0.0",
	}
	return w.judge(t, 2, verdict.Rejected)
}

// auditManyBatches finds more batches than the evidence names.
func auditManyBatches(t *testing.T) []object {
	w := emptyWorld(t)
	for n := range uint64(103) {
		w.write(t, fmt.Sprintf("2/%s/%s", digest(1), digest(100+n)), nil)
	}
	return w.judge(t, 2, verdict.Rejected)
}

// auditForeignNeighbours finds that verified epochs before and after it are of another log.
func auditForeignNeighbours(t *testing.T) []object {
	w := newWorld(t, simlog.Options{})
	w.put(t, verdictOn(1))
	w.put(t, verdictOn(3))
	return w.judge(t, 2, verdict.Rejected)
}

// auditStrays finds more objects beside a batch than a verdict names.
func auditStrays(t *testing.T) []object {
	w := newWorld(t, simlog.Options{})
	for n := range 12 {
		w.write(t, fmt.Sprintf(`2/"%d" <&> é`, n), nil)
	}
	return w.judge(t, 2, verdict.Verified)
}

func auditBadName(t *testing.T) []object {
	w := emptyWorld(t)
	w.write(t, `2/no "name" <&> é`, []byte("x"))
	return w.judge(t, 2, verdict.Rejected)
}

func auditTooLarge(t *testing.T) []object {
	w := newWorld(t, simlog.Options{})
	w.config.Fetcher = fetcher.New(w.log, fetcher.Options{MaxStoredBytes: 100})
	return w.judge(t, 2, verdict.Rejected)
}

// auditArchived keeps batches of each extension, one of which has two names.
func auditArchived(t *testing.T) []object {
	w := newWorld(t, simlog.Options{Epochs: 5, Compression: simlog.Mixed})
	w.config.Archive = true
	key := w.keyOf(t, 3)
	data, err := w.log.ReadAll(t.Context(), key)
	must(t, err)
	must(t, w.log.Delete(t.Context(), key))
	w.write(t, strings.TrimSuffix(key, ".s2")+".sz", data)

	published := map[string][]byte{}
	for epoch := uint64(1); epoch <= 4; epoch++ {
		data, err := w.log.ReadAll(t.Context(), w.keyOf(t, epoch))
		must(t, err)
		published[fmt.Sprintf("/%012d", epoch)] = data
		w.judge(t, epoch, verdict.Verified)
	}
	all := w.audit.objects()
	for i, o := range all {
		for name, data := range published {
			if strings.Contains(o.key, "/archive/") && strings.Contains(o.key, name) && bytes.Equal(o.data, data) {
				all[i].note = "the batch as it was published"
			}
		}
	}
	return all
}

// askTheTime has the store told what time it is, as retention does.
func askTheTime(t *testing.T) []object {
	w := emptyWorld(t)
	_, err := w.store.Now(t.Context(), namespace)
	must(t, err)
	return w.audit.objects()
}

func reauditRewritten(t *testing.T) []object { return reaudit(t, []byte("rewritten")) }

func reauditRewrittenLarge(t *testing.T) []object {
	return reaudit(t, bytes.Repeat([]byte("large"), auditstore.MaxEvidenceBytes/5+1))
}

// reaudit looks again at a verified and archived epoch whose batch was replaced.
func reaudit(t *testing.T, batch []byte) []object {
	w := newWorld(t, simlog.Options{})
	w.config.Archive = true
	w.judge(t, 2, verdict.Verified)
	w.write(t, w.keyOf(t, 2), batch)
	_, err := w.auditor(t).Reaudit(t.Context(), 2)
	if _, contradicts := errors.AsType[*audit.ContradictionError](err); !contradicts {
		t.Fatalf("error %v, want a contradiction", err)
	}
	return w.audit.objects()
}
