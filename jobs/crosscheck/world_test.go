package crosscheck

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

const (
	namespace   = jobstest.Namespace
	there       = "the.log.there"
	minute, day = time.Minute, 24 * time.Hour
)

var began = time.Now()

// world is a log that was audited here, and another auditor of it.
type world struct {
	*jobstest.ArchiveStore
	remote *remote
	config Config
	counts counts
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{ArchiveStore: jobstest.NewArchiveStore(t), remote: newRemote(t), counts: counts{all: map[string]int{}}}
	keys, err := signature.ParseKeys([]string{public(1), public(2)})
	jobstest.Must(t, err)
	w.config = Config{
		Namespace: namespace, Store: w.Store, Incidents: incident.Recorder{Store: w.Store, Log: zerolog.Nop()}, Client: w.remote.client(t),
		RemoteNamespace: there, Keys: keys, Every: minute, MaxLag: time.Hour, Rate: 1e9, Metrics: &w.counts, Log: zerolog.Nop(),
	}
	return w
}

// judge puts verdicts on record, and has the other auditor sign what the log shows it: the same.
func (w *world) judge(t *testing.T, from, to uint64, change func(*verdict.Verdict)) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		v := jobstest.GoodVerdict(epoch)
		v.FinishedAt = began
		if change != nil {
			change(&v)
		}
		w.Judge(t, v)
	}
}

func reject(v *verdict.Verdict) { v.Outcome, v.Reason = verdict.Rejected, "digest_mismatch" }

// round does a round so long after the beginning.
func (w *world) round(t *testing.T, l *Loop, after time.Duration) {
	t.Helper()
	jobstest.Must(t, l.round(t.Context(), began.Add(after)))
}

// wantOpen checks which incidents are open, without hashes and the auditor's name.
func (w *world) wantOpen(t *testing.T, want ...string) {
	t.Helper()
	if got := w.open(t); !slices.Equal(got, want) {
		t.Errorf("open are %q, want %q", got, want)
	}
}

func (w *world) open(t *testing.T) (open []string) {
	t.Helper()
	list, err := incident.ReadList(t.Context(), w.Store, namespace)
	jobstest.Must(t, err)
	for _, o := range list.Open {
		name, _, _ := strings.Cut(strings.ReplaceAll(o.Incident, "/127-", " "), " ")
		if n := strings.LastIndex(name, "-"); n > 0 && len(name)-n == 33 {
			name = name[:n]
		}
		open = append(open, name)
	}
	return open
}

// records returns the epochs whose signed digests are kept.
func (w *world) records(t *testing.T) (epochs []uint64) {
	t.Helper()
	for _, key := range jobstest.Keys(t, w.Bucket) {
		if strings.Contains(key, "/crosscheck/127-") {
			n, err := strconv.ParseUint(strings.TrimSuffix(key[strings.LastIndex(key, "/")+1:], ".json"), 10, 64)
			jobstest.Must(t, err)
			epochs = append(epochs, n)
		}
	}
	return epochs
}

// evidence returns the names of the evidence on an epoch, without hashes.
func (w *world) evidence(t *testing.T, epoch uint64) (kinds []string) {
	t.Helper()
	names, err := w.Store.EvidenceNames(t.Context(), namespace, epoch)
	jobstest.Must(t, err)
	for _, name := range names {
		kinds = append(kinds, name[:strings.LastIndex(name, "-")])
	}
	return kinds
}

// signHere signs a digest as if the log had posted it here.
func (w *world) signHere(t *testing.T, epoch uint64, digest [32]byte) {
	t.Helper()
	a, err := auditor.New(auditor.Config{
		Namespace: namespace, Store: w.Store, Keys: []auditor.Key{{Signer: keyOf(9)}}, Ciphersuite: signature.CiphersuiteProtobuf,
		Conflict: func(context.Context, auditor.Conflict) error { return nil },
	})
	jobstest.Must(t, err)
	_, err = a.Sign(t.Context(), epoch, digest)
	jobstest.Must(t, err)
}

func keyOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(n byte) string { return hex.EncodeToString(keyOf(n).Public().(ed25519.PublicKey)) }

// digestOf is the digest of an honest epoch, as GoodVerdict has it.
func digestOf(epoch uint64) (digest [32]byte) {
	raw, _ := hex.DecodeString(jobstest.GoodVerdict(epoch).Digest)
	copy(digest[:], raw)
	return digest
}

// counts is what metrics are told.
type counts struct {
	observe.Nothing
	mu     sync.Mutex
	all    map[string]int
	newest uint64
}

func (c *counts) CrossChecked(_, _, result string, epochs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[result] += epochs
}

func (c *counts) SetCrossChecked(_, _ string, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest = epoch
}

// remote is an auditor as others run it.
type remote struct {
	*httptest.Server
	mu       sync.Mutex
	signed   map[uint64][]byte // what it answers for an epoch
	verified string            // to last-verified-epoch
	answer   func(http.ResponseWriter, *http.Request) bool
	asked    []string
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{signed: map[uint64][]byte{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *remote) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: r.URL, Attempts: 1})
	jobstest.Must(t, err)
	return c
}

func (r *remote) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	question := strings.TrimPrefix(request.URL.Path, "/namespaces/"+there+"/")
	r.asked = append(r.asked, question)
	if r.answer != nil && r.answer(w, request) {
		return
	}
	text, isAudit := strings.CutPrefix(question, "audits/")
	epoch, _ := strconv.ParseUint(text, 10, 64)
	switch {
	case isAudit && r.signed[epoch] != nil:
		_, _ = w.Write(r.signed[epoch])
	case question == "last-verified-epoch" && r.verified != "":
		_, _ = fmt.Fprint(w, r.verified)
	default:
		http.NotFound(w, request)
	}
}

// set changes what it answers.
func (r *remote) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// sign has it sign a digest, with key 1.
func (r *remote) sign(t *testing.T, epoch uint64, digest [32]byte) {
	r.signWith(t, 1, there, epoch, epoch, digest)
}

// signAll has it sign the honest digests of a range.
func (r *remote) signAll(t *testing.T, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		r.sign(t, epoch, digestOf(epoch))
	}
}

func (r *remote) signWith(t *testing.T, key byte, namespace string, at, epoch uint64, digest [32]byte) {
	t.Helper()
	s, err := signature.Sign(keyOf(key), signature.CiphersuiteProtobuf, namespace, 1780000000000+epoch, epoch, digest)
	jobstest.Must(t, err)
	data, err := json.Marshal(s)
	jobstest.Must(t, err)
	r.set(func() { r.signed[at] = data })
}

// verify has it say that it verified an epoch.
func (r *remote) verify(epoch uint64, digest string) {
	r.set(func() {
		r.verified = fmt.Sprintf(`{"job_id":"7b0c1f0e-1c0f-4d3c-9d1a-000000000000","epoch":%d,"start_hash":%q,"end_hash":%q,"timestamp":1}`,
			epoch, jobstest.GoodVerdict(epoch-1).Digest, digest)
	})
}

// questions returns what it was asked since the last call.
func (r *remote) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}
