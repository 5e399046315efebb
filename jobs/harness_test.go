package jobs

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

const testNamespace = "test.key-transparency.v1"

// testKey is the key that simulated logs are signed with.
func testKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("jobs"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// world is a simulated log with what it takes to audit it, all in memory.
type world struct {
	log, signatures, audit *blob.Bucket
	config                 AuditorConfig
}

// newWorld simulates a log. The auditor trusts the log's key.
func newWorld(t testing.TB, o simlog.Options) *world {
	t.Helper()
	w := &world{log: openMemory(t), signatures: openMemory(t), audit: openMemory(t)}
	o.Namespace, o.SigningKey = testNamespace, testKey()
	if _, err := simlog.Write(t.Context(), w.log, w.signatures, o, nil); err != nil {
		t.Fatal(err)
	}
	w.config = testConfig(t, w.log, w.signatures, auditstore.New(w.audit))
	return w
}

func testConfig(t testing.TB, log, signatures *blob.Bucket, store *auditstore.Store) AuditorConfig {
	t.Helper()
	keys, err := signature.ParseKeys([]string{hex.EncodeToString(testKey().Public().(ed25519.PublicKey))})
	if err != nil {
		t.Fatal(err)
	}
	return AuditorConfig{
		Namespace:     testNamespace,
		Configuration: validator.WhatsAppV1(),
		Fetcher:       fetcher.New(log, fetcher.Options{Backoff: time.Millisecond, MaxAttempts: 2}),
		Store:         store,
		Keys:          keys,
		Signatures:    signatures,
		Budget:        NewBudget(256 << 20),
		Settle:        -1, // it was all written just now
		Software:      "ktaudit test",
		Log:           zerolog.Nop(),
	}
}

func (w *world) auditor(t testing.TB) *Auditor {
	t.Helper()
	a, err := NewAuditor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func openMemory(t testing.TB) *blob.Bucket {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// moveObject gives an object another key, or takes one away if to is empty.
func moveObject(t testing.TB, b *blob.Bucket, from, to string) {
	t.Helper()
	if to != "" {
		if err := b.Copy(t.Context(), to, from, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), from); err != nil {
		t.Fatal(err)
	}
}

// keyOf returns the key of an epoch's batch.
func (w *world) keyOf(t testing.TB, epoch uint64) string {
	t.Helper()
	o, err := w.config.Fetcher.Locate(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return o.Key
}

// connect connects to a Redis until the test ends.
func connect(t testing.TB, url string) *Redis {
	t.Helper()
	r, err := ConnectRedis(t.Context(), url, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// onEachRedis runs a test on the embedded Redis and on a real one.
func onEachRedis(t *testing.T, test func(t *testing.T, r *Redis)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, connect(t, Embedded))
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		test(t, connect(t, testservers.Redis(t).URL()))
	})
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// evidence returns all pieces of evidence on an epoch.
func (w *world) evidence(t testing.TB, epoch uint64) []string {
	t.Helper()
	var pieces []string
	prefix := fmt.Sprintf("%s/evidence/%09d/%012d/", testNamespace, epoch/1000, epoch)
	for objects := w.audit.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := objects.Next(t.Context())
		if err == io.EOF {
			return pieces
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := w.audit.ReadAll(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, string(data))
	}
}

// wantArchived checks that an epoch's batch was kept as it is in the log directory.
func (w *world) wantArchived(t testing.TB, epoch uint64) {
	t.Helper()
	archive, err := w.config.Store.OpenArchive(t.Context(), testNamespace, epoch)
	if err != nil {
		t.Errorf("epoch %d: its batch was not kept: %v", epoch, err)
		return
	}
	defer archive.Close()
	got, err := io.ReadAll(archive)
	want, _ := w.log.ReadAll(t.Context(), w.keyOf(t, epoch))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("epoch %d: %d bytes were kept, %v; published were %d", epoch, len(got), err, len(want))
	}
}

// queueCounts returns the counts of the test's queue of one class.
func queueCounts(r *Redis, class Class) (QueueCounts, error) {
	all, err := r.ReadCounts(testNamespace)
	for _, c := range all {
		if c.Class == class {
			return c, err
		}
	}
	return QueueCounts{}, err
}

// judgedRuns tells an enqueuer of the verdicts in a store.
func judgedRuns(store *auditstore.Store) func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
	return func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
		return JudgedRuns(ctx, store, testNamespace, from, to, visit)
	}
}

// isJudged tells Retry of the verdicts in a store.
func isJudged(store *auditstore.Store) func(context.Context, uint64) (bool, error) {
	return func(ctx context.Context, epoch uint64) (bool, error) {
		return IsJudged(ctx, store, testNamespace, epoch)
	}
}
