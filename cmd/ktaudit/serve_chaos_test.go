package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
)

// serveLong asks for as many replicas, clients and epochs as an auditor should stand. It takes
// minutes.
var serveLong = os.Getenv("KTAUDIT_LONG") != ""

// TestKilledAuditors has many clients post the same and conflicting digests to replicas that are
// killed again and again, and whose clocks are off. An epoch has one signed digest, which all
// answers agree on, and each conflict that was answered is on record.
func TestKilledAuditors(t *testing.T) {
	t.Parallel()
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		runServeStorm(t, "file://"+t.TempDir(), nil, 60)
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		runServeStorm(t, testservers.S3(t).BucketURL("signed"), testservers.S3Env(), 20)
	})
}

func runServeStorm(t *testing.T, store string, env []string, epochs uint64) {
	replicas, clients := 3, 16
	if serveLong {
		replicas, clients, epochs = 8, 64, 200
	}
	s := newServeStorm(t, store, env, epochs)
	for i := range replicas {
		s.addReplica(i)
	}
	patience := 3 * time.Minute
	if serveLong {
		patience = 20 * time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() { s.client(ctx, rand.New(rand.NewPCG(s.seed, uint64(i)))) })
	}
	finished := make(chan struct{})
	go func() { group.Wait(); close(finished) }()
	s.interfere(finished)
	s.check(store)
}

// serveStorm is replicas of an auditor, and what clients were answered.
type serveStorm struct {
	*chaos
	onDisk   bool
	seed     uint64
	epochs   uint64
	began    time.Time
	replicas []*replica
	http     *http.Client
	progress chan struct{} // something for each epoch that was signed

	mu        sync.Mutex
	signed    map[uint64][]byte // answers by epoch
	conflicts map[conflictKey]bool
	reused    int
	clocks    int // refusals, as the clock was off
	tries     int
}

type conflictKey struct {
	epoch  uint64
	digest string
}

func newServeStorm(t *testing.T, store string, env []string, epochs uint64) *serveStorm {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &serveStorm{
		chaos: newChaos(t, "unwatched", env...), onDisk: env == nil, seed: seed, epochs: epochs, began: time.Now(), progress: make(chan struct{}, 10*epochs),
		http:   &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		signed: map[uint64][]byte{}, conflicts: map[conflictKey]bool{},
	}
	t.Cleanup(s.http.CloseIdleConnections)
	s.ktaudit(nil, "keygen", "--out", "signing.key")
	config := fmt.Sprintf(`
audit_store: %s
serve: {listen: ":8443", keys: [{file: signing.key}]}
namespaces:
  - namespace: %s
    log_directory: file://%s
    signing: {root: 1/%s, token_file: token}
`, store, chaosNamespace, s.dir, honestDigest(1))
	if err := errors.Join(os.WriteFile(filepath.Join(s.dir, "ktaudit.yaml"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(s.dir, "token"), []byte("a-token-of-the-test\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return s
}

func honestDigest(epoch uint64) string { return otherDigest(epoch, 0) }

// otherDigest is one of the digests that are posted for an epoch.
func otherDigest(epoch, which uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d of %d", which, epoch))
	return fmt.Sprintf("%x", sum)
}

// replica is a process that serves. It is started by one goroutine, and asked by all.
type replica struct {
	s     *serveStorm
	name  string
	clock *os.File
	cmd   *exec.Cmd
	// address is where it serves; empty until it does.
	address atomic.Pointer[string]
	killed  atomic.Bool
	ended   chan struct{}
}

func (s *serveStorm) addReplica(i int) {
	s.t.Helper()
	r := &replica{s: s, name: fmt.Sprint("replica-", i)}
	if clocksJump {
		f, err := os.Create(filepath.Join(s.dir, r.name+".clock"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = f.Close() })
		r.clock = f
	}
	by := time.Duration(0)
	if i == 1 {
		by = 5 * time.Hour // so far off that it may sign nothing
	}
	r.setClock(by)
	r.start()
	s.replicas = append(s.replicas, r)
}

func (r *replica) setClock(by time.Duration) {
	r.s.t.Helper()
	if r.clock == nil {
		return
	}
	if _, err := r.clock.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second)), 0); err != nil {
		r.s.t.Fatal(err)
	}
}

func (r *replica) start() {
	t := r.s.t
	t.Helper()
	log, err := os.OpenFile(filepath.Join(r.s.logs, r.name+".log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	cmd := r.s.command("serve", "--config", "ktaudit.yaml", "--api-listen", "127.0.0.1:0", "--log-format", "json")
	if r.clock != nil {
		cmd.Env = append(slices.Clone(cmd.Env), clockVariable+"="+r.clock.Name())
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	r.cmd, r.ended = cmd, ended
	r.address.Store(new(string))
	r.killed.Store(false)
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(log, lines.Text())
			var line struct{ Message, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "serving the API" {
				r.address.Store(&line.Address)
			}
		}
		err := errors.Join(cmd.Wait(), log.Close())
		if !r.killed.Load() {
			t.Errorf("%s ended by itself: %v; see %s", r.name, err, r.s.logs)
		}
	}()
}

func (r *replica) kill() {
	r.killed.Store(true)
	_ = r.cmd.Process.Kill() // fails only if it has ended
	<-r.ended
	r.address.Store(new(string))
}

func (r *replica) waitUntilServing() {
	r.s.t.Helper()
	for *r.address.Load() == "" {
		select {
		case <-r.ended:
			r.s.t.Fatalf("%s does not start; see %s", r.name, r.s.logs)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// interfere kills a replica, and puts a clock off, each time that a few more epochs are signed,
// until the clients have finished.
func (s *serveStorm) interfere(finished <-chan struct{}) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(s.seed, 1<<32))
	offsets := []time.Duration{0, 20 * time.Second, -20 * time.Second, 5 * time.Hour, -5 * time.Hour}
	kills, signed := 0, 0
	for {
		select {
		case <-finished:
			s.t.Logf("%d epochs after %.1f s, %d posts, %d kills, %d conflicts, %d digests again, %d times a clock was off",
				s.epochs, time.Since(s.began).Seconds(), s.tries, kills, len(s.conflicts), s.reused, s.clocks)
			// A server of S3 refuses whoever has a clock that is hours off, before the auditor does.
			if kills == 0 || len(s.conflicts) == 0 || s.reused == 0 || s.clocks == 0 && clocksJump && s.onDisk {
				s.t.Error("something did not happen: the test shows too little")
			}
			return
		case <-s.progress:
		}
		if signed++; signed%5 != 0 {
			continue
		}
		victim := s.replicas[random.IntN(len(s.replicas))]
		victim.kill()
		kills++
		if victim != s.replicas[0] { // whose clock is right, so that there is always one that signs
			victim.setClock(offsets[random.IntN(len(offsets))])
		}
		victim.start()
		s.replicas[1+random.IntN(len(s.replicas)-1)].setClock(offsets[random.IntN(len(offsets))])
	}
}

// client posts what a log might, epoch after epoch: what others post, and before that sometimes
// another digest, or that of the epoch before.
func (s *serveStorm) client(ctx context.Context, random *rand.Rand) {
	for epoch := uint64(1); epoch <= s.epochs && ctx.Err() == nil && !s.t.Failed(); epoch++ {
		switch n := random.IntN(10); {
		case n == 0 && epoch > 1:
			if before := s.digestOf(epoch - 1); before != "" {
				s.postUntilAnswered(ctx, random, epoch, before)
			}
		case n <= 2:
			s.postUntilAnswered(ctx, random, epoch, otherDigest(epoch, 1+random.Uint64N(3)))
		}
		s.postUntilAnswered(ctx, random, epoch, honestDigest(epoch))
	}
	if err := ctx.Err(); err != nil {
		s.t.Errorf("not all epochs are signed: %v", err)
	}
}

// digestOf is the digest that is signed for an epoch; empty if nobody was given it yet.
func (s *serveStorm) digestOf(epoch uint64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	on, err := signature.Parse(s.signed[epoch])
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", on.Digest)
}

// postUntilAnswered posts to one replica after another until one says what became of it.
func (s *serveStorm) postUntilAnswered(ctx context.Context, random *rand.Rand, epoch uint64, digest string) {
	for ctx.Err() == nil {
		r := s.replicas[random.IntN(len(s.replicas))]
		if address := *r.address.Load(); address != "" && s.post(ctx, address, epoch, digest) {
			return
		}
		select { // be no burden to those that start
		case <-ctx.Done():
		case <-time.After(time.Duration(random.IntN(20)) * time.Millisecond):
		}
	}
}

// post reports whether there was an answer that says what became of the post, which is held
// against all others.
func (s *serveStorm) post(ctx context.Context, address string, epoch uint64, digest string) (answered bool) {
	body := fmt.Sprintf(`{"epoch":%d,"digest":"%s"}`, epoch, digest)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/namespaces/"+chaosNamespace+"/audits", strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return false
	}
	request.Header.Set("Authorization", "Bearer a-token-of-the-test")
	response, err := s.http.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return false
	}
	var problem struct {
		Type   string
		Signed json.RawMessage
	}
	if response.StatusCode != http.StatusOK && json.Unmarshal(data, &problem) != nil {
		s.t.Errorf("epoch %d: status %d, %q", epoch, response.StatusCode, data)
		return true
	}
	_, kind, _ := strings.Cut(problem.Type, "/problems/")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	switch {
	case response.StatusCode == http.StatusOK:
		s.agree(epoch, digest, data)
	case kind == "conflict":
		s.conflicts[conflictKey{epoch, digest}] = true
		if on, err := signature.Parse(problem.Signed); err != nil || on.Epoch != epoch || fmt.Sprintf("%x", on.Digest) == digest {
			s.t.Errorf("epoch %d: a conflict of %s with %s: %v", epoch, digest, problem.Signed, err)
		}
	case kind == "digest-reused" && epoch > 1 && digest != honestDigest(epoch):
		s.reused++
	case kind == "root-mismatch" && epoch == 1 && digest != honestDigest(1):
	case kind == "clock":
		s.clocks++
		return false
	case response.StatusCode == http.StatusServiceUnavailable, response.StatusCode == http.StatusTooManyRequests:
		return false
	default:
		s.t.Errorf("epoch %d, digest %s: status %d, %s", epoch, digest, response.StatusCode, data)
	}
	return true
}

// agree holds a signed digest against those that others were given for the epoch.
func (s *serveStorm) agree(epoch uint64, digest string, data []byte) {
	if before, ok := s.signed[epoch]; ok {
		if !bytes.Equal(before, data) {
			s.t.Errorf("epoch %d: one was given %s, another %s", epoch, before, data)
		}
		return
	}
	on, err := signature.Parse(data)
	if err != nil || on.Epoch != epoch || fmt.Sprintf("%x", on.Digest) != digest {
		s.t.Errorf("epoch %d, digest %s: given %s: %v", epoch, digest, data, err)
	}
	s.signed[epoch] = data
	s.progress <- struct{}{}
}

// check reads what is on record, when all clients have finished.
func (s *serveStorm) check(url string) {
	s.t.Helper()
	for _, r := range s.replicas {
		r.kill()
	}
	s.checkLogs()
	last := s.replicas[0]
	last.start()
	defer last.kill()
	s.shown(last)
	store, err := auditstore.Open(s.t.Context(), url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	raised, err := incident.ReadList(s.t.Context(), store, chaosNamespace)
	if err != nil {
		s.t.Fatal(err)
	}
	for c := range s.conflicts {
		names, err := store.EvidenceNames(s.t.Context(), chaosNamespace, c.epoch)
		if err != nil || !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "posted-"+c.digest) }) {
			s.t.Errorf("epoch %d: that %s was posted is not on record: %q, %v", c.epoch, c.digest, names, err)
		}
		if !slices.ContainsFunc(raised.Open, func(o incident.Open) bool { return o.From <= c.epoch && c.epoch <= o.To }) {
			s.t.Errorf("epoch %d has no incident", c.epoch)
		}
	}
}

// shown wants a replica to show what clients were given: one digest for each epoch, no digest
// twice, and times that neither go back nor come from a clock that is hours off.
func (s *serveStorm) shown(r *replica) {
	s.t.Helper()
	r.waitUntilServing()
	digests := map[[32]byte]uint64{}
	earliest := uint64(s.began.Add(-2 * time.Minute).UnixMilli())
	for epoch := uint64(1); epoch <= s.epochs+1; epoch++ {
		response, err := s.http.Get(fmt.Sprintf("http://%s/namespaces/%s/audits/%d", *r.address.Load(), chaosNamespace, epoch))
		if err != nil {
			s.t.Fatal(err)
		}
		data, err := io.ReadAll(response.Body)
		response.Body.Close()
		if epoch > s.epochs {
			if response.StatusCode != http.StatusNotFound {
				s.t.Errorf("epoch %d, which nobody posted: %s", epoch, data)
			}
			break
		}
		given, ok := s.signed[epoch]
		if err != nil || ok && !bytes.Equal(given, data) {
			s.t.Errorf("epoch %d is shown as %s, and was given as %s: %v", epoch, data, given, err)
		}
		on, err := signature.Parse(data)
		if err != nil {
			s.t.Fatalf("epoch %d: %v", epoch, err)
		}
		if other := digests[on.Digest]; other != 0 {
			s.t.Errorf("digest %x is signed for epochs %d and %d", on.Digest, other, epoch)
		}
		digests[on.Digest] = epoch
		if on.Timestamp < earliest || on.Timestamp > uint64(time.Now().Add(2*time.Minute).UnixMilli()) {
			s.t.Errorf("epoch %d was signed at %d, the epoch before at %d at the earliest", epoch, on.Timestamp, earliest)
		}
		earliest = on.Timestamp
	}
}
