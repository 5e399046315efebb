package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

// TestStatusOfMillions asks for status and head of two million epochs of which all but the last few
// hundred are sealed, and says how long they took; TestStatusRequests of jobs/seal holds down
// what they may cost. Of what is sealed they read the history, and nothing else is made of it here
// but the verdicts that are shown: those on rejected epochs, and on the head.
func TestStatusOfMillions(t *testing.T) {
	t.Parallel()
	const (
		shards   = 2000
		sealed   = shards*verdict.EpochsPerShard - 1 // the last epoch
		last     = sealed + 300
		rejected = 100_000 // each so many epochs
	)
	dir := t.TempDir()
	store, err := auditstore.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	span := verdict.SealedSpan{Span: verdict.Span{From: 1, To: sealed, PreviousDigest: madeUpDigest(0), Digest: madeUpDigest(sealed)}}
	for shard := range shards {
		span.Seals = append(span.Seals, madeUpDigest(shard))
	}
	put := func(v verdict.Verdict) {
		v.Schema, v.Namespace = verdict.Schema, chaosNamespace
		if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	for epoch := uint64(rejected); epoch <= sealed; epoch += rejected {
		span.Rejected = append(span.Rejected, verdict.Rejection{Epoch: epoch, Reason: "overlapping_labels"})
		put(verdict.Verdict{Epoch: epoch, Outcome: verdict.Rejected, Reason: "overlapping_labels", Detail: "made up"})
	}
	putVerified := func(epoch uint64) {
		put(verdict.Verdict{
			Epoch: epoch, Outcome: verdict.Verified, PreviousDigest: madeUpDigest(epoch - 1), Digest: madeUpDigest(epoch),
			Batch: verdict.Batch{SHA256: madeUpDigest(epoch)},
		})
	}
	putVerified(rejected - 1)
	for epoch := uint64(sealed + 1); epoch <= last; epoch++ {
		putVerified(epoch)
	}
	if _, err := store.PutHistory(t.Context(), verdict.History{Namespace: chaosNamespace, Spans: []verdict.SealedSpan{span}}); err != nil {
		t.Fatal(err)
	}

	ask := func(wantExit int, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "ktaudit"), append(args, "--namespace", chaosNamespace, "--audit-store", dir)...)
		cmd.Env = environment(t.TempDir())
		begun := time.Now()
		out, err := cmd.Output()
		took := time.Since(begun)
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || cmd.ProcessState.ExitCode() != wantExit {
			t.Errorf("%q: %v, want exit status %d", args, err, wantExit)
		}
		t.Logf("%s of %d epochs: %s", args[0], last, took.Round(time.Millisecond))
		return out
	}
	var status report.Status
	if err := json.Unmarshal(ask(1, "status", "--json"), &status); err != nil {
		t.Fatal(err)
	}
	wrong := uint64(len(span.Rejected))
	if status.From != 1 || status.To != last || status.Head != rejected-1 || status.RejectedCount != wrong || status.VerifiedCount != last-wrong ||
		status.MissingCount != 0 || status.SealedCount != sealed || len(status.Breaks) > 0 ||
		slices.ContainsFunc(status.Rejected, func(r report.RejectedEpoch) bool { return r.Detail != "made up" }) {
		t.Errorf("status is %+v", status)
	}
	var shown report.Head
	if err := json.Unmarshal(ask(1, "head", "--json"), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Head != rejected-1 || shown.Digest != madeUpDigest(rejected-1) || shown.Newest != last {
		t.Errorf("head is %+v", shown)
	}
}

// madeUpDigest is a digest, another for each epoch.
func madeUpDigest[T int | uint64](epoch T) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%d", epoch))
	return hex.EncodeToString(hash[:])
}
