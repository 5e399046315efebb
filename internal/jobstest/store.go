package jobstest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// PublishNames gives a log epochs of which only the names are well-formed.
func PublishNames(t testing.TB, log *blob.Bucket, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		key := fmt.Sprintf("%d/%064x/%064x", epoch, epoch-1, epoch)
		if err := log.WriteAll(t.Context(), key, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func Span(from, to uint64) []uint64 {
	var epochs []uint64
	for epoch := from; epoch <= to; epoch++ {
		epochs = append(epochs, epoch)
	}
	return epochs
}

// Notices returns the names of what is in the outbox, in order.
func Notices(t testing.TB, store *auditstore.Store) []string {
	t.Helper()
	names, err := store.Outbox(Namespace).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func WantNotices(t testing.TB, store *auditstore.Store, want ...string) {
	t.Helper()
	if got := Incidents(t, store); !slices.Equal(got, want) {
		t.Errorf("in the outbox is %q, want %q", got, want)
	}
}

// Judge puts verdicts on record, the digests of which are numbers.
func Judge(t testing.TB, store *auditstore.Store, epoch uint64, outcome string, reason verdict.Reason, previous, digest uint64) {
	t.Helper()
	hex := func(n uint64) string { return fmt.Sprintf("%064x", n) }
	_, _, err := store.PutVerdict(t.Context(), verdict.Verdict{
		Schema: verdict.Schema, Namespace: Namespace, Epoch: epoch, Outcome: outcome, Reason: reason,
		PreviousDigest: hex(previous), Digest: hex(digest), Batch: verdict.Batch{Key: fmt.Sprintf("%d/batch", epoch), SHA256: hex(0)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func Verify(t testing.TB, store *auditstore.Store, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		Judge(t, store, epoch, verdict.Verified, "", epoch-1, epoch)
	}
}

// PutVerdict records a verdict on an epoch; a reason makes it a rejection.
func PutVerdict(t testing.TB, store *auditstore.Store, epoch uint64, reason verdict.Reason) {
	t.Helper()
	hex := func(n uint64) string { return fmt.Sprintf("%064s", strconv.FormatUint(n, 16)) }
	v := verdict.Verdict{
		Schema: verdict.Schema, Namespace: Namespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: hex(epoch - 1), Digest: hex(epoch), Batch: verdict.Batch{SHA256: hex(epoch)},
	}
	if reason != "" {
		v.Outcome, v.Reason, v.Detail = verdict.Rejected, reason, "detail of "+string(reason)
	}
	if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

// Edit replaces the last occurrence of a text in an object.
func Edit(t testing.TB, b *blob.Bucket, key, from, to string) {
	t.Helper()
	data, err := b.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndex(string(data), from)
	if i < 0 {
		t.Fatalf("%s has no %s: %.300s", key, from, data)
	}
	if err := b.WriteAll(t.Context(), key, []byte(string(data[:i])+to+string(data[i+len(from):])), nil); err != nil {
		t.Fatal(err)
	}
}

func CopyObject(t *testing.T, from, to *blob.Bucket, key string) {
	t.Helper()
	data, err := from.ReadAll(t.Context(), key)
	if err == nil {
		err = to.WriteAll(t.Context(), key, data, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Background runs something until the test ends or the function is called.
func Background(t *testing.T, run func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func Incidents(t testing.TB, store *auditstore.Store) []string {
	t.Helper()
	names, err := store.Outbox(Namespace).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = WithoutHash(hashOfDetail.ReplaceAllString(name, "$1"))
	}
	return names
}

// DigestAfter is the digest of an honest epoch.
func DigestAfter(epoch uint64) string { return fmt.Sprintf("%064x", epoch) }

// GoodVerdict is the verdict on an honest epoch that is finished now.
func GoodVerdict(epoch uint64) verdict.Verdict {
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: Namespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: DigestAfter(epoch - 1), Digest: DigestAfter(epoch),
		Batch:     verdict.Batch{Key: "x", StoredBytes: int64(len(BatchOf(epoch))), SHA256: DigestAfter(epoch)},
		Signature: verdict.Signature{Status: verdict.SignatureNotRequired}, FinishedAt: time.Now().UTC(),
	}
}

func RejectedVerdict(epoch uint64) verdict.Verdict {
	v := GoodVerdict(epoch)
	v.Outcome, v.Reason = verdict.Rejected, "equivocation"
	return v
}

func BatchOf(epoch uint64) string { return fmt.Sprint("the batch of epoch ", epoch) }

// Keys returns the keys of all that is in a bucket, in order. Others may be removing things
// meanwhile.
func Keys(t testing.TB, b *blob.Bucket) []string {
	t.Helper()
	var all []string
	for objects := b.List(nil); ; {
		o, err := objects.Next(context.WithoutCancel(t.Context()))
		if err == io.EOF {
			return all
		}
		Must(t, err)
		all = append(all, o.Key)
	}
}

// contents returns all that is in a bucket which nobody else is changing.
func contents(t testing.TB, b *blob.Bucket) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range Keys(t, b) {
		data, err := b.ReadAll(context.WithoutCancel(t.Context()), key)
		Must(t, err)
		all[key] = string(data)
	}
	return all
}

func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// DigestOf is the digest after an epoch of a made-up log. Logs with other names have others.
func DigestOf(log string, epoch uint64) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %d", log, epoch)))
}

// Record writes the verdicts of a made-up log. change makes some of them otherwise; if it returns
// false, the epoch gets none.
func Record(t testing.TB, store *auditstore.Store, from, to uint64, change func(v *verdict.Verdict) bool) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		v := verdict.Verdict{
			Schema: verdict.Schema, Namespace: Namespace, Epoch: epoch, Outcome: verdict.Verified,
			PreviousDigest: DigestOf("", epoch-1), Digest: DigestOf("", epoch), Batch: verdict.Batch{SHA256: DigestOf("batch", epoch)},
		}
		if change != nil && !change(&v) {
			continue
		}
		if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
}

func Reject(v *verdict.Verdict) {
	v.Outcome, v.Reason, v.Detail = verdict.Rejected, "digest_mismatch", fmt.Sprintf("detail of epoch %d", v.Epoch)
}

// hashOfDetail is in the names of notices on sealed shards, hashOfFact in those on facts of which
// an
// epoch may have several.
var (
	hashOfDetail = regexp.MustCompile(`^(1-sealed_mismatch\.[0-9]{9})-[0-9a-f]{8}$`)
	hashOfFact   = regexp.MustCompile(`((?:equivocation|contradiction)[./][0-9]{12}(?:[./]chain)?)-[0-9a-f]{32}`)
)

// WithoutHash is the name of an incident or notice without the hash of the fact that it is of.
func WithoutHash(name string) string { return hashOfFact.ReplaceAllString(name, "$1") }
