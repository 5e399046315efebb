package page

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
)

// The logs of the page that the browser sees: one that is audited, and whose verdict log two
// witnesses cosign; one of a million epochs, of which there are only the sums; and one with a
// rejection.
const (
	million = "million.key-transparency.v1"
	broken  = "broken.key-transparency.v1"
	// judged are the epochs with a verdict at first. Two more are good, and one is tampered with.
	judged, tampered = 30, 33
)

type browserWorld struct {
	*audittest.World
	auditor  *audit.Auditor
	signer   note.Signer
	verifier note.Verifier
	page     *Page
	server   *httptest.Server
	next     uint64 // the epoch that is audited next
}

func newBrowserWorld(t *testing.T) *browserWorld {
	w := &browserWorld{
		World: audittest.New(t, simlog.Options{Epochs: tampered, Tamper: map[uint64]simlog.Kind{tampered: simlog.Rewrite}}), next: 1,
	}
	w.auditor = w.Auditor(t)
	for range judged {
		w.audit(t)
	}
	vkey := w.witness(t)
	recordMillion(t, w.Store)
	recordBroken(t, w.Store)
	var err error
	w.page, err = New(Config{Store: w.Store, Log: zerolog.Nop(), Logs: []summary.Log{
		{Name: jobstest.Namespace, First: 1, Configuration: "whatsapp_v1", LogDirectory: "https://log.example.org/", Keys: summary.Keys{
			Verdicts: vkey, Witnesses: []string{tlogtest.Witness("witness.example.net"), tlogtest.Witness("witness.example.com")}, Require: 2,
		}},
		{Name: million, Configuration: "whatsapp_v1"},
		{Name: broken, First: 1, Configuration: "whatsapp_v1"},
	}})
	jobstest.Must(t, err)
	read(t, w.page)
	w.server = httptest.NewServer(w.page)
	t.Cleanup(func() {
		w.server.CloseClientConnections() // those who follow the events stay
		w.server.Close()
	})
	return w
}

// audit has the next epoch audited.
func (w *browserWorld) audit(t *testing.T) {
	_, err := w.auditor.Audit(context.WithoutCancel(t.Context()), w.next)
	if err != nil && w.next != tampered {
		t.Fatal(err)
	}
	w.next++
}

// witness appends what there is to the verdict log, and has it cosigned. It returns the log's key.
func (w *browserWorld) witness(t *testing.T) string {
	ctx := t.Context()
	origin := transparency.Origin("auditor.example.org", jobstest.Namespace, transparency.Verdicts)
	secret, vkey, err := note.GenerateKey(rand.Reader, origin)
	jobstest.Must(t, err)
	w.signer, err = note.NewSigner(secret)
	jobstest.Must(t, err)
	w.verifier, err = note.NewVerifier(vkey)
	jobstest.Must(t, err)
	log := transparency.Open(w.Store, jobstest.Namespace, transparency.Verdicts)
	_, err = log.Begin(ctx, 1)
	jobstest.Must(t, err)
	c, err := log.Advance(ctx, w.signer, transparency.Own(origin, w.verifier), 1000)
	jobstest.Must(t, err)
	if c.N != judged {
		t.Fatalf("the verdict log has %d entries", c.N)
	}
	c.Note = tlogtest.Cosign(c.Note, "witness.example.net", "witness.example.com")
	jobstest.Must(t, log.PutWitnessed(ctx, c))
	jobstest.Must(t, log.Publish(ctx, c))
	return vkey
}

// recordMillion writes what there is of a log of a million epochs, of which the names were walked
// and most were sealed, and verdicts on the newest.
func recordMillion(t *testing.T, store *auditstore.Store) {
	const named, from, to, newest = 1_000, 300_000, 1_000_999, 1_001_039
	digest := func(epoch uint64) string { return jobstest.DigestOf(million, epoch) }
	seals := make([]string, (to-from+1)/verdict.EpochsPerShard)
	for i := range seals {
		seals[i] = fmt.Sprintf("%064x", i)
	}
	_, err := store.PutHistory(t.Context(), verdict.History{Namespace: million, Spans: []verdict.SealedSpan{{
		Span: verdict.Span{From: from, To: to, PreviousDigest: digest(from - 1), Digest: digest(to)}, Seals: seals,
	}}})
	jobstest.Must(t, err)
	for epoch := uint64(to - 59); epoch <= newest; epoch++ {
		v := jobstest.GoodVerdict(epoch)
		v.Namespace, v.PreviousDigest, v.Digest, v.Inserted, v.Batch.Bytes = million, digest(epoch-1), digest(epoch), int(epoch%977), int64(epoch%977)*65
		_, _, err := store.PutVerdict(t.Context(), v)
		jobstest.Must(t, err)
	}
	chain := verdict.Chain{Namespace: million, WalkedAt: time.Now()}
	for epoch := uint64(named); epoch <= newest; epoch += verdict.EpochsPerShard {
		last := min(epoch+verdict.EpochsPerShard-1, newest)
		chain.Shards = append(chain.Shards, verdict.ChainEntry{
			Shard: epoch / verdict.EpochsPerShard, Runs: []verdict.ChainSpan{{From: epoch, To: last, PreviousDigest: digest(epoch - 1), Digest: digest(last)}},
		})
	}
	_, err = store.PutChain(t.Context(), chain)
	jobstest.Must(t, err)
}

// recordBroken writes five verdicts, of which the third is a rejection.
func recordBroken(t *testing.T, store *auditstore.Store) {
	for epoch := range uint64(5) {
		v := jobstest.GoodVerdict(epoch + 1)
		v.Namespace = broken
		if epoch+1 == 3 {
			jobstest.Reject(&v)
		}
		_, _, err := store.PutVerdict(t.Context(), v)
		jobstest.Must(t, err)
	}
}

// batchFiles writes an epoch's batch to a file, and to another with a byte changed.
func (w *browserWorld) batchFiles(t *testing.T, epoch uint64) (good, bad string) {
	for _, key := range jobstest.Keys(t, w.World.Log) {
		if !strings.HasPrefix(key, fmt.Sprint(epoch, "/")) {
			continue
		}
		data, err := w.World.Log.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		good, bad = filepath.Join(t.TempDir(), "batch"), filepath.Join(t.TempDir(), "batch")
		jobstest.Must(t, os.WriteFile(good, data, 0o600))
		data[len(data)/2] ^= 1
		jobstest.Must(t, os.WriteFile(bad, data, 0o600))
		return good, bad
	}
	t.Fatalf("no batch of epoch %d", epoch)
	return "", ""
}
