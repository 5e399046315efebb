package witnessing

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	namespace = jobstest.Namespace
	base      = "auditor.example.org"
	minute    = time.Minute
)

var began = time.Now()

// scripted is a witness as C2SP has it, but for what it is told to do otherwise.
type scripted struct {
	*httptest.Server
	name string

	mu     sync.Mutex
	trees  map[string]tlog.Tree // by origin, the last one that was cosigned
	asked  int
	answer func(origin string) (status int, body string) // nil, or status 0: as it should be
}

func newWitness(t *testing.T, name string) *scripted {
	w := &scripted{name: name, trees: map[string]tlog.Tree{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *scripted) set(answer func(origin string) (int, string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

func (w *scripted) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

func (w *scripted) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	body, _ := io.ReadAll(r.Body)
	head, checkpoint, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	var old int64
	_, _ = fmt.Sscanf(lines[0], "old %d", &old)
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		h, _ := tlog.ParseHash(line)
		proof = append(proof, h)
	}
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	c, err := torchwood.ParseCheckpoint(text + "\n")
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if w.answer != nil {
		if status, body := w.answer(c.Origin); status != 0 {
			rw.WriteHeader(status)
			fmt.Fprint(rw, body)
			return
		}
	}
	last := w.trees[c.Origin]
	switch {
	case old != last.N || c.N == last.N && c.N > 0 && c.Hash != last.Hash:
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", last.N)
		return
	case old > 0 && tlog.CheckTree(proof, c.N, c.Hash, last.N, last.Hash) != nil:
		rw.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	w.trees[c.Origin] = c.Tree
	_, cosignature, _ := strings.Cut(string(tlogtest.Cosign([]byte(text+"\n\n"), w.name)), "\n\n")
	fmt.Fprint(rw, cosignature)
}

// world is an audit with a verdict log and witnesses.
type world struct {
	*jobstest.ArchiveStore
	witnesses []*scripted
	config    Config
	metrics   *counts
}

// newWorld has n witnesses, of which all but one, or the only one, must cosign.
func newWorld(t *testing.T, n int) *world {
	t.Helper()
	w := &world{ArchiveStore: jobstest.NewArchiveStore(t), metrics: &counts{answers: map[string]int{}}}
	for i := range n {
		w.witnesses = append(w.witnesses, newWitness(t, fmt.Sprintf("witness-%d.example", i)))
	}
	w.config = Config{
		Namespace: namespace, Store: w.Store, Incidents: incident.Recorder{Store: w.Store, Log: zerolog.Nop()}, Every: minute,
		Metrics: w.metrics, Log: zerolog.Nop(),
	}
	w.config.Verdicts, w.config.Events = w.log(t, transparency.Verdicts), w.log(t, transparency.Events)
	return w
}

// log opens a log as another process would.
func (w *world) log(t *testing.T, kind transparency.Kind) Log {
	t.Helper()
	origin := transparency.Origin(base, namespace, kind)
	signer := tlogtest.New(origin)
	verifier, err := note.NewVerifier(signer.Verifier())
	jobstest.Must(t, err)
	l := Log{Log: transparency.Open(w.Store, namespace, kind), Signer: noteSigner{signer, verifier.KeyHash()}, Own: transparency.Own(origin, verifier)}
	if len(w.witnesses) == 0 {
		return l
	}
	c := witnesses.Config{Require: max(1, len(w.witnesses)-1)}
	var members []torchwood.Policy
	for _, m := range w.witnesses {
		key := tlogtest.Witness(m.name)
		c.Members = append(c.Members, witnesses.Member{URL: m.URL, Key: key})
		v, err := torchwood.NewCosignatureVerifier(key)
		jobstest.Must(t, err)
		members = append(members, torchwood.SingleVerifierPolicy(v))
	}
	l.Witnessed = torchwood.ThresholdPolicy(2, l.Own, torchwood.ThresholdPolicy(c.Require, members...))
	l.Witnesses, err = witnesses.New(c)
	jobstest.Must(t, err)
	return l
}

// loop is that of another process.
func (w *world) loop(t *testing.T) *Loop {
	c := w.config
	c.Verdicts, c.Events = w.log(t, transparency.Verdicts), w.log(t, transparency.Events)
	return New(c)
}

type noteSigner struct {
	*tlogtest.Log
	hash uint32
}

func (s noteSigner) Name() string                     { return s.Origin }
func (s noteSigner) KeyHash() uint32                  { return s.hash }
func (s noteSigner) Sign(text []byte) ([]byte, error) { return ed25519.Sign(s.Key, text), nil }

// judge puts verdicts on record.
func (w *world) judge(t *testing.T, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		v := jobstest.GoodVerdict(epoch)
		v.FinishedAt = began
		w.Judge(t, v)
	}
}

// round does a round so long after the beginning, and returns its error.
func (w *world) round(t *testing.T, l *Loop, after time.Duration) error {
	t.Helper()
	more, err := l.round(t.Context(), began.Add(after))
	for more && err == nil {
		more, err = l.round(t.Context(), began.Add(after))
	}
	return err
}

// wantOpen checks which incidents are open, by what stands before their hashes.
func (w *world) wantOpen(t *testing.T, want ...string) {
	t.Helper()
	list, err := incident.ReadList(t.Context(), w.Store, namespace)
	jobstest.Must(t, err)
	var got []string
	for _, o := range list.Open {
		first, rest, _ := strings.Cut(o.Incident, "/")
		log, _, _ := strings.Cut(rest, "/")
		log, _, _ = strings.Cut(log, "-")
		got = append(got, first+"/"+log)
	}
	if !slices.Equal(got, want) {
		t.Errorf("open are %q, want %q", got, want)
	}
}

// evidence returns the only piece of evidence of a kind on an epoch.
func (w *world) evidence(t *testing.T, epoch uint64, kind string, value any) {
	t.Helper()
	names, err := w.Store.EvidenceNames(t.Context(), namespace, epoch)
	jobstest.Must(t, err)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, kind+"-") })
	if len(names) != 1 {
		t.Fatalf("evidence of kind %s on epoch %d is %q", kind, epoch, names)
	}
	data, err := w.Store.Evidence(t.Context(), namespace, epoch, names[0])
	jobstest.Must(t, err)
	jobstest.Must(t, json.Unmarshal(data, value))
}

func (w *world) mirror(t *testing.T) transparency.Checkpoint {
	t.Helper()
	data, err := w.config.Verdicts.File(t.Context(), "checkpoint")
	jobstest.Must(t, err)
	c, err := transparency.ParseCheckpoint(data)
	jobstest.Must(t, err)
	return c
}

type counts struct {
	observe.Nothing
	mu      sync.Mutex
	state   observe.VerdictLogState // of the verdict log
	answers map[string]int
}

func (c *counts) SetVerdictLog(_, log string, s observe.VerdictLogState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if log == "verdicts" {
		c.state = s
	}
}

func (c *counts) WitnessAnswered(_, _, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[result]++
}
