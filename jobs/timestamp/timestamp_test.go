package timestamp_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob/memblob"
)

const namespace = jobstest.Namespace

func newStore(t *testing.T) *auditstore.Store {
	t.Helper()
	s := auditstore.New(memblob.OpenBucket(nil))
	t.Cleanup(func() { s.Close() })
	return s
}

// newAuditor is one of several replicas; change may alter its configuration.
func newAuditor(t *testing.T, store *auditstore.Store, log zerolog.Logger, change func(*auditor.Config)) *auditor.Auditor {
	t.Helper()
	c := auditor.Config{
		Namespace: namespace, Store: store, Ciphersuite: signature.CiphersuiteProtobuf,
		Keys:     []auditor.Key{{Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))}},
		Conflict: timestamp.Conflict(incident.Recorder{Store: store, Log: log}, namespace),
	}
	if change != nil {
		change(&c)
	}
	a, err := auditor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func digestOf(t *testing.T, text string) (digest [32]byte) {
	t.Helper()
	if _, err := hex.Decode(digest[:], []byte(text)); err != nil {
		t.Fatal(err)
	}
	return digest
}

func open(t *testing.T, store *auditstore.Store) []incident.Open {
	t.Helper()
	list, err := incident.ReadList(t.Context(), store, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return list.Open
}

func postConflict(t *testing.T, a *auditor.Auditor, digest [32]byte) {
	t.Helper()
	_, err := a.Sign(auditor.WithPoster(t.Context(), "CN=log"), 5, digest)
	if _, ok := errors.AsType[*auditor.ConflictError](err); !ok {
		t.Fatalf("%v, want a conflict", err)
	}
}

// Each other digest that is posted is evidence and an incident of its own, once, whichever replica
// it is posted to.
func TestConflict(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	one, two := newAuditor(t, store, zerolog.Nop(), nil), newAuditor(t, store, zerolog.Nop(), nil)
	if _, err := one.Sign(t.Context(), 5, [32]byte{5}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		postConflict(t, one, [32]byte{6})
		postConflict(t, two, [32]byte{6})
	}
	postConflict(t, two, [32]byte{7})
	names, err := store.EvidenceNames(t.Context(), namespace, 5)
	if err != nil || len(names) != 2 {
		t.Fatalf("%q, %v", names, err)
	}
	data, err := store.Evidence(t.Context(), namespace, 5, names[0])
	if err != nil || !strings.Contains(string(data), `"by":"CN=log"`) || !strings.Contains(string(data), `"digest":"05`) {
		t.Errorf("%s, %v", data, err)
	}
	incidents := open(t, store)
	if len(incidents) != 2 || len(jobstest.Notices(t, store)) != 2 {
		t.Errorf("%+v, alerts %q", incidents, jobstest.Notices(t, store))
	}
	for _, i := range incidents {
		if !strings.HasPrefix(i.Incident, "equivocation/000000000005/posted-") || i.From != 5 || i.Severity != "critical" {
			t.Errorf("%+v", i)
		}
	}
}

// Who has acknowledged that two digests were posted has not acknowledged that two were published.
func TestAcknowledgedConflict(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	a := newAuditor(t, store, zerolog.Nop(), nil)
	if _, err := a.Sign(t.Context(), 5, [32]byte{5}); err != nil {
		t.Fatal(err)
	}
	postConflict(t, a, [32]byte{6})
	_, _, err := incident.Recorder{Store: store}.Acknowledge(t.Context(), incident.Acknowledgement{
		Namespace: namespace, Incident: open(t, store)[0].Incident, By: "ops", Reason: "a test",
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := incident.ReadList(t.Context(), store, namespace)
	if err != nil || list.Wrong(false) || list.CoversDoubles(5) {
		t.Errorf("%+v, %v", list.Open, err)
	}
}

// An epoch costs a bounded number of objects and of lines, however many digests are posted for it.
func TestConflictsAreBounded(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var lines bytes.Buffer
	a := newAuditor(t, store, zerolog.New(&lines), nil)
	if _, err := a.Sign(t.Context(), 5, [32]byte{}); err != nil {
		t.Fatal(err)
	}
	for i := range byte(120) {
		postConflict(t, a, [32]byte{1: i + 1})
	}
	names, err := store.EvidenceNames(t.Context(), namespace, 5)
	if err != nil || len(names) != 100 || len(open(t, store)) != 100 {
		t.Errorf("%d pieces of evidence, %d incidents, %v", len(names), len(open(t, store)), err)
	}
	if n := bytes.Count(lines.Bytes(), []byte("\n")); n != 101 {
		t.Errorf("%d lines, want one for each digest that is kept, and one for the others", n)
	}
}

// Nor do many epochs cost more than a replica puts on record at a time: the others are not told to be
// conflicts, since they are not on record.
func TestNoFloodOfConflicts(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	record := timestamp.Conflict(incident.Recorder{Store: store, Log: zerolog.Nop()}, namespace)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	post := func(epoch uint64) error {
		s, err := signature.Sign(key, signature.CiphersuiteProtobuf, namespace, 1, epoch, [32]byte{5})
		jobstest.Must(t, err)
		signed, err := json.Marshal(s)
		jobstest.Must(t, err)
		return record(t.Context(), auditor.Conflict{Epoch: epoch, Posted: strings.Repeat("06", 32), Signed: signed})
	}
	recorded := 0
	for epoch := range uint64(1500) {
		if post(epoch) == nil {
			recorded++
		}
	}
	if recorded < 1000 || recorded > 1400 || len(open(t, store)) != recorded {
		t.Errorf("%d are recorded, %d open", recorded, len(open(t, store)))
	}
	jobstest.Must(t, post(0)) // which is on record
}

// A conflict that cannot be put on record is not told to the log as one: it must post again.
func TestConflictIsDurable(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	failing := false
	_, kept := jobstest.NewArchiveStore(t).Watched(t, func(_ int64, request string) (error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if failing && strings.Contains(request, "/incidents/") {
			return jobstest.ErrFault, false
		}
		return nil, false
	})
	a := newAuditor(t, kept.Store, zerolog.Nop(), nil)
	if _, err := a.Sign(t.Context(), 5, [32]byte{5}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	failing = true
	mu.Unlock()
	_, err := a.Sign(t.Context(), 5, [32]byte{6})
	if _, conflict := errors.AsType[*auditor.ConflictError](err); err == nil || conflict {
		t.Fatalf("without a record of it: %v", err)
	}
	mu.Lock()
	failing = false
	mu.Unlock()
	postConflict(t, a, [32]byte{6})
	if got := open(t, kept.Store); len(got) != 1 {
		t.Errorf("after it was posted again: %+v", got)
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for i := range 20 {
		data := fmt.Appendf(nil, `{"report":%d}`, i)
		for range 2 {
			err := timestamp.KeepReport(t.Context(), store, namespace, 5, data)
			if (err != nil) != (i >= 10) || err != nil && !errors.Is(err, timestamp.ErrTooManyReports) {
				t.Errorf("report %d: %v", i, err)
			}
		}
	}
	if err := timestamp.KeepReport(t.Context(), store, namespace, 6, []byte("{}")); err != nil {
		t.Errorf("another epoch: %v", err)
	}
}

// run signs verified epochs until the test ends, and says which were.
func run(t *testing.T, v timestamp.Verified) <-chan uint64 {
	t.Helper()
	signed := make(chan uint64, 100)
	v.Signed = func(epoch uint64) { signed <- epoch }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := v.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return signed
}

func next(t *testing.T, signed <-chan uint64, want uint64) {
	t.Helper()
	select {
	case got := <-signed:
		if got != want {
			t.Errorf("signed epoch %d, want %d", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("epoch %d is not signed", want)
	}
}

// Verified epochs are signed in order, from the root on, also by a replica that starts later. A
// rejected one holds back those after it, and is told of, until it is overruled.
func TestVerified(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	said := make(chan string, 100)
	log := zerolog.New(writer(said))
	root := verdict.Anchor{Epoch: 5, Digest: jobstest.DigestAfter(5)}
	put := func(v verdict.Verdict) {
		if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	put(jobstest.GoodVerdict(6))
	verified := func() timestamp.Verified {
		return timestamp.Verified{
			Namespace: namespace, Store: store, Root: root, Poll: time.Millisecond, Log: log,
			Auditor: newAuditor(t, store, log, func(c *auditor.Config) { c.Verified, c.Root = true, root }),
		}
	}
	one := run(t, verified())
	put(jobstest.GoodVerdict(5))
	next(t, one, 5)
	next(t, one, 6)
	put(jobstest.RejectedVerdict(7))
	put(jobstest.GoodVerdict(8))
	select {
	case line := <-said:
		if !strings.Contains(line, "epoch 7 was rejected: equivocation") {
			t.Errorf("said %s", line)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is said of a rejected epoch")
	}
	rejected, sum, err := store.VerdictObject(t.Context(), namespace, 7)
	if err != nil {
		t.Fatal(err)
	}
	a := newAuditor(t, store, zerolog.Nop(), func(c *auditor.Config) { c.Verified, c.Root = true, root })
	if last, _, err := a.Last(t.Context()); last != 6 || err != nil {
		t.Errorf("signed up to %d, %v", last, err)
	}
	o := verdict.Overruling{
		Schema: verdict.Schema, Namespace: namespace, Epoch: 7, Number: 1, By: "ops", Reason: "a test", At: time.Now().UTC(),
		Overruled: verdict.Overruled{Outcome: rejected.Outcome, Reason: rejected.Reason, SHA256: hex.EncodeToString(sum[:])}, Verdict: jobstest.GoodVerdict(7),
	}
	if err := store.PutOverruling(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	next(t, one, 7)
	next(t, one, 8)
	put(jobstest.GoodVerdict(9))
	next(t, one, 9)
	two := run(t, verified())
	put(jobstest.GoodVerdict(10))
	select { // whichever comes first
	case epoch := <-one:
		if epoch != 10 {
			t.Errorf("signed epoch %d, want 10", epoch)
		}
	case epoch := <-two:
		if epoch != 10 {
			t.Errorf("a second replica signed epoch %d, want 10", epoch)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("epoch 10 is not signed")
	}
	if data, err := a.Sign(t.Context(), 7, digestOf(t, jobstest.DigestAfter(7))); err != nil || len(data) == 0 {
		t.Errorf("posted afterwards: %s, %v", data, err)
	}
}

type writer chan<- string

func (w writer) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// A namespace that is disabled signs nothing more.
func TestVerifiedIsDisabled(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	root := verdict.Anchor{Epoch: 5, Digest: jobstest.DigestAfter(5)}
	for epoch := uint64(5); epoch < 8; epoch++ {
		if _, _, err := store.PutVerdict(t.Context(), jobstest.GoodVerdict(epoch)); err != nil {
			t.Fatal(err)
		}
	}
	a := newAuditor(t, store, zerolog.Nop(), func(c *auditor.Config) { c.Verified, c.Root = true, root })
	signed := 0
	v := timestamp.Verified{
		Namespace: namespace, Store: store, Root: root, Poll: time.Hour, Auditor: a,
		Signed: func(uint64) { signed++ }, Disabled: func() bool { return signed == 2 },
	}
	if err := v.Run(t.Context()); err != nil || signed != 2 {
		t.Errorf("signed %d epochs, %v", signed, err)
	}
}

// Without a root, nothing is signed until a post begins it.
func TestVerifiedWithoutRoot(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	a := newAuditor(t, store, zerolog.Nop(), func(c *auditor.Config) { c.Verified = true })
	for epoch := uint64(5); epoch < 8; epoch++ {
		if _, _, err := store.PutVerdict(t.Context(), jobstest.GoodVerdict(epoch)); err != nil {
			t.Fatal(err)
		}
	}
	signed := run(t, timestamp.Verified{Namespace: namespace, Store: store, Auditor: a, Poll: time.Millisecond})
	if _, err := a.Sign(t.Context(), 6, digestOf(t, jobstest.DigestAfter(6))); err != nil {
		t.Fatal(err)
	}
	next(t, signed, 7)
}

// What one replica adds or disables, all know; a name is added once.
func TestRegistry(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	one, two := timestamp.NewRegistry(store), timestamp.NewRegistry(store)
	root := "5/" + jobstest.DigestAfter(5)
	n := timestamp.Registered{Name: "b.log", Root: root, Ciphersuite: 1, LogDirectory: "https://b.example", At: time.Now().UTC()}
	if err := one.Add(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	n.At = n.At.Add(time.Second)
	if err := two.Add(t.Context(), n); !errors.Is(err, timestamp.ErrRegistered) {
		t.Errorf("twice: %v", err)
	}
	for name, wrong := range map[string]timestamp.Registered{"a path": {Name: "../a", Root: root}, "no root": {Name: "a"}} {
		if err := one.Add(t.Context(), wrong); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for range 2 {
		if err := two.Disable(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*timestamp.Registry{one, two, timestamp.NewRegistry(store)} {
		added, disabled, err := r.Read(t.Context())
		if err != nil || len(added) != 1 || added[0].Name != "b.log" || added[0].LogDirectory != "https://b.example" || len(disabled) != 1 || !disabled["c"] {
			t.Errorf("%+v, %v, %v", added, disabled, err)
		}
	}
}

// What is damaged costs no other namespace.
func TestRegistryIsDamaged(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"no JSON": "x", "another name": `{"name":"b","root":"5/` + jobstest.DigestAfter(5) + `"}`, "no root": `{"name":"a"}`} {
		store := newStore(t)
		if _, err := store.Folder("_ktaudit", "namespaces").Put(t.Context(), []byte(text), "a"); err != nil {
			t.Fatal(err)
		}
		r := timestamp.NewRegistry(store)
		for _, err := range []error{
			r.Add(t.Context(), timestamp.Registered{Name: "c", Root: "5/" + jobstest.DigestAfter(5), Ciphersuite: 1}),
			r.Disable(t.Context(), "d"),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		added, disabled, err := r.Read(t.Context())
		if !errors.Is(err, auditstore.ErrCorrupt) || len(added) != 1 || added[0].Name != "c" || !disabled["d"] {
			t.Errorf("%s: %+v, %v, %v", name, added, disabled, err)
		}
	}
}
