package jobstest

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
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

const Namespace = "test.key-transparency.v1"

// Key is the key that simulated logs are signed with.
func Key() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("jobs"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// World is a simulated log with what it takes to audit it, all in memory.
type World struct {
	Log, Signatures, Audit *blob.Bucket // audit is behind store
	Store                  *auditstore.Store
	Fetcher                *fetcher.Fetcher
	Keys                   signature.Keys // the log's, which auditors trust
}

// NewWorld simulates a log.
func NewWorld(t testing.TB, o simlog.Options) *World {
	t.Helper()
	w := EmptyWorld(t)
	o.Namespace, o.SigningKey = Namespace, Key()
	if _, err := simlog.Write(t.Context(), w.Log, w.Signatures, o, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// EmptyWorld is a log that has published nothing.
func EmptyWorld(t testing.TB) *World {
	t.Helper()
	audit := OpenMemory(t)
	w := WorldIn(t, OpenMemory(t), OpenMemory(t), auditstore.New(audit))
	w.Audit = audit
	return w
}

// WorldIn is a log in some buckets, audited in a store.
func WorldIn(t testing.TB, log, signatures *blob.Bucket, store *auditstore.Store) *World {
	t.Helper()
	keys, err := signature.ParseKeys([]string{hex.EncodeToString(Key().Public().(ed25519.PublicKey))})
	if err != nil {
		t.Fatal(err)
	}
	return &World{Log: log, Signatures: signatures, Store: store, Fetcher: newFetcher(log), Keys: keys}
}

// newFetcher reads a log in memory, without long pauses.
func newFetcher(log *blob.Bucket) *fetcher.Fetcher {
	return fetcher.New(log, fetcher.Options{Backoff: time.Millisecond, MaxAttempts: 2})
}

func OpenMemory(t testing.TB) *blob.Bucket {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// MoveObject gives an object another key, or takes one away if to is empty.
func MoveObject(t testing.TB, b *blob.Bucket, from, to string) {
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

// KeyOf returns the key of an epoch's batch.
func (w *World) KeyOf(t testing.TB, epoch uint64) string {
	t.Helper()
	o, err := w.Fetcher.Locate(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return o.Key
}

// Eventually waits for a condition.
func Eventually(t testing.TB, what string, condition func() bool) {
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

// Evidence returns all pieces of evidence on an epoch.
func (w *World) Evidence(t testing.TB, epoch uint64) []string {
	t.Helper()
	var pieces []string
	prefix := fmt.Sprintf("%s/evidence/%09d/%012d/", Namespace, epoch/1000, epoch)
	for objects := w.Audit.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := objects.Next(t.Context())
		if err == io.EOF {
			return pieces
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := w.Audit.ReadAll(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, string(data))
	}
}

// WantArchived checks that an epoch's batch was kept as it is in the log directory.
func (w *World) WantArchived(t testing.TB, epoch uint64) {
	t.Helper()
	archive, err := w.Store.OpenArchive(t.Context(), Namespace, epoch)
	if err != nil {
		t.Errorf("epoch %d: its batch was not kept: %v", epoch, err)
		return
	}
	defer archive.Close()
	got, err := io.ReadAll(archive)
	want, _ := w.Log.ReadAll(t.Context(), w.KeyOf(t, epoch))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("epoch %d: %d bytes were kept, %v; published were %d", epoch, len(got), err, len(want))
	}
}

// Judged returns how many of the epochs have a verdict.
func (w *World) Judged(t testing.TB, from, to uint64) int {
	t.Helper()
	n := 0
	for shard := from / verdict.EpochsPerShard; shard <= to/verdict.EpochsPerShard; shard++ {
		epochs, err := w.Store.Epochs(t.Context(), Namespace, shard)
		if err != nil {
			t.Fatal(err)
		}
		for _, epoch := range epochs {
			if from <= epoch && epoch <= to {
				n++
			}
		}
	}
	return n
}

// gate holds up reads of a log until it is opened.
type gate struct{ Entered, Open chan struct{} }

func NewGate() gate { return gate{make(chan struct{}, 100), make(chan struct{})} }

func (g gate) Pass() {
	g.Entered <- struct{}{}
	<-g.Open
}

// NewSplicedWorld has epochs 1 to 10 of one log and 11 to 20 of another, each epoch valid by itself
// and signed.
func NewSplicedWorld(t *testing.T) *World {
	t.Helper()
	w, other := NewWorld(t, simlog.Options{Epochs: 10, Seed: 1}), NewWorld(t, simlog.Options{Epochs: 20, Seed: 2})
	for epoch := uint64(11); epoch <= 20; epoch++ {
		CopyObject(t, other.Log, w.Log, other.KeyOf(t, epoch))
		CopyObject(t, other.Signatures, w.Signatures, fmt.Sprintf("%d.json", epoch))
	}
	return w
}
