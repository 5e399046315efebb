package jobs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"

	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

const day = 24 * time.Hour

// shelf is an audit store with archived batches on it, in memory.
type shelf struct {
	bucket *blob.Bucket
	store  *auditstore.Store
}

func newShelf(t testing.TB) *shelf {
	b := openMemory(t)
	return &shelf{b, auditstore.New(b)}
}

// digestAfter is the digest of an honest epoch.
func digestAfter(epoch uint64) string { return fmt.Sprintf("%064x", epoch) }

// goodVerdict is the verdict on an honest epoch that is finished now.
func goodVerdict(epoch uint64) verdict.Verdict {
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: testNamespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: digestAfter(epoch - 1), Digest: digestAfter(epoch),
		Batch:     verdict.Batch{Key: "x", StoredBytes: int64(len(batchOf(epoch))), SHA256: digestAfter(epoch)},
		Signature: verdict.Signature{Status: verdict.SignatureNotRequired}, FinishedAt: time.Now().UTC(),
	}
}

func rejectedVerdict(epoch uint64) verdict.Verdict {
	v := goodVerdict(epoch)
	v.Outcome, v.Reason = verdict.Rejected, "equivocation"
	return v
}

func batchOf(epoch uint64) string { return fmt.Sprint("the batch of epoch ", epoch) }

func (s *shelf) archive(t testing.TB, epoch uint64, extension, batch string) {
	t.Helper()
	w, err := s.store.ArchiveWriter(t.Context(), testNamespace, epoch, extension)
	must(t, err)
	_, err = io.WriteString(w, batch)
	must(t, err)
	must(t, w.Commit())
}

func (s *shelf) judge(t testing.TB, v verdict.Verdict) {
	t.Helper()
	_, _, err := s.store.PutVerdict(t.Context(), v)
	must(t, err)
}

// verified archives the batches of honest epochs and records their verdicts.
func (s *shelf) verified(t testing.TB, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		s.archive(t, epoch, "", batchOf(epoch))
		s.judge(t, goodVerdict(epoch))
	}
}

// retention of a month, which does not wait for the clock.
func (s *shelf) retention(log zerolog.Logger) *retention {
	r := newRetention(RetentionConfig{Namespace: testNamespace, Store: s.store, First: 1, Keep: 30 * day, Log: log})
	r.settle = 0
	return r
}

func mustPass(t testing.TB, r *retention) {
	t.Helper()
	if more, err := r.pass(t.Context()); err != nil || more {
		t.Errorf("pass: %v, more is left: %v", err, more)
	}
}

// archived returns what is on the shelf, each batch as its epoch and extension.
func (s *shelf) archived(t testing.TB) []string {
	t.Helper()
	left := []string{}
	for _, key := range keys(t, s.bucket) {
		if _, name, ok := strings.Cut(key, "/archive/"); ok {
			left = append(left, strings.TrimLeft(name[strings.Index(name, "/")+1:], "0"))
		}
	}
	return left
}

// keys returns the keys of all that is in a bucket, in order. Others may be removing things meanwhile.
func keys(t testing.TB, b *blob.Bucket) []string {
	t.Helper()
	var all []string
	for objects := b.List(nil); ; {
		o, err := objects.Next(context.WithoutCancel(t.Context()))
		if err == io.EOF {
			return all
		}
		must(t, err)
		all = append(all, o.Key)
	}
}

// contents returns all that is in a bucket which nobody else is changing.
func contents(t testing.TB, b *blob.Bucket) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range keys(t, b) {
		data, err := b.ReadAll(context.WithoutCancel(t.Context()), key)
		must(t, err)
		all[key] = string(data)
	}
	return all
}

// kept returns all that must never be touched.
func (s *shelf) kept(t testing.TB) map[string]string {
	all := contents(t, s.bucket)
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.Contains(key, "/archive/") })
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
