package jobs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
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

// publishNames gives a log epochs of which only the names are well-formed.
func publishNames(t testing.TB, log *blob.Bucket, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		key := fmt.Sprintf("%d/%064x/%064x", epoch, epoch-1, epoch)
		if err := log.WriteAll(t.Context(), key, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func span(from, to uint64) []uint64 {
	var epochs []uint64
	for epoch := from; epoch <= to; epoch++ {
		epochs = append(epochs, epoch)
	}
	return epochs
}

// notices returns the names of what is in the outbox, in order.
func notices(t testing.TB, store *auditstore.Store) []string {
	t.Helper()
	names, err := store.Outbox(testNamespace).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func wantNotices(t testing.TB, store *auditstore.Store, want ...string) {
	t.Helper()
	if got := notices(t, store); !slices.Equal(got, want) {
		t.Errorf("in the outbox is %q, want %q", got, want)
	}
}

// judge puts verdicts on record, the digests of which are numbers.
func judge(t testing.TB, store *auditstore.Store, epoch uint64, outcome string, reason verdict.Reason, previous, digest uint64) {
	t.Helper()
	hex := func(n uint64) string { return fmt.Sprintf("%064x", n) }
	_, _, err := store.PutVerdict(t.Context(), verdict.Verdict{
		Schema: verdict.Schema, Namespace: testNamespace, Epoch: epoch, Outcome: outcome, Reason: reason,
		PreviousDigest: hex(previous), Digest: hex(digest), Batch: verdict.Batch{Key: fmt.Sprintf("%d/batch", epoch), SHA256: hex(0)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, store *auditstore.Store, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		judge(t, store, epoch, verdict.Verified, "", epoch-1, epoch)
	}
}

// putVerdict records a verdict on an epoch; a reason makes it a rejection.
func putVerdict(t testing.TB, store *auditstore.Store, epoch uint64, reason verdict.Reason) {
	t.Helper()
	hex := func(n uint64) string { return fmt.Sprintf("%064s", strconv.FormatUint(n, 16)) }
	v := verdict.Verdict{
		Schema: verdict.Schema, Namespace: testNamespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: hex(epoch - 1), Digest: hex(epoch), Batch: verdict.Batch{SHA256: hex(epoch)},
	}
	if reason != "" {
		v.Outcome, v.Reason, v.Detail = verdict.Rejected, reason, "detail of "+string(reason)
	}
	if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

// edit replaces the last occurrence of a text in an object.
func edit(t testing.TB, b *blob.Bucket, key, from, to string) {
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

func copyObject(t *testing.T, from, to *blob.Bucket, key string) {
	t.Helper()
	data, err := from.ReadAll(t.Context(), key)
	if err == nil {
		err = to.WriteAll(t.Context(), key, data, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// background runs something until the test ends or the function is called.
func background(t *testing.T, run func(ctx context.Context) error) (stop func()) {
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

func incidents(t testing.TB, store *auditstore.Store) []string {
	t.Helper()
	names, err := store.Outbox(testNamespace).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = hashOfDetail.ReplaceAllString(name, "$1")
	}
	return names
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// digestOf is the digest after an epoch of a made-up log. Logs with other names have others.
func digestOf(log string, epoch uint64) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %d", log, epoch)))
}

// record writes the verdicts of a made-up log. change makes some of them otherwise; if it returns false, the epoch gets none.
func record(t testing.TB, store *auditstore.Store, from, to uint64, change func(v *verdict.Verdict) bool) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		v := verdict.Verdict{
			Schema: verdict.Schema, Namespace: testNamespace, Epoch: epoch, Outcome: verdict.Verified,
			PreviousDigest: digestOf("", epoch-1), Digest: digestOf("", epoch), Batch: verdict.Batch{SHA256: digestOf("batch", epoch)},
		}
		if change != nil && !change(&v) {
			continue
		}
		if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
}

func reject(v *verdict.Verdict) {
	v.Outcome, v.Reason, v.Detail = verdict.Rejected, "digest_mismatch", fmt.Sprintf("detail of epoch %d", v.Epoch)
}
