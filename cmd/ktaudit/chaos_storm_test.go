package main

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob"
)

// storm is an audit of a log that lies now and then, with three workers and two schedulers, during
// which everything goes wrong that can.
//
//	log ──→ S3 server ←── faults ←── workers, schedulers ──→ Redis, webhook
type storm struct {
	*chaos
	random *rand.Rand
	began  time.Time
	ended  time.Time // and all is calm

	redis      *testservers.RedisServer
	s3         *testservers.S3Server
	toLog      *testservers.FaultyS3 // the log directory and the signed digests
	toStore    *testservers.FaultyS3
	store      string // the folder behind the audit store's bucket
	webhook    *webhook
	processes  []*process
	clocks     map[*process]*os.File
	log        *simlog.Log
	key        ed25519.PrivateKey
	published  uint64
	later      []delayed
	inProgress map[string]bool // what is being done, and will be undone
	done       map[string]int  // how often each thing was done
	restarts   int             // of processes that ended by themselves
	hitches    hitches
}

// delayed is what undoes something that was done.
type delayed struct {
	at   time.Time
	name string
	undo func()
}

// tampered says what is wrong with an epoch of the storm's log: something with every seventh. A
// second batch for an epoch is published before the storm only: one that appears after the verdict
// would be told of, and not be what the verdict says.
func tampered(epoch uint64) (simlog.Kind, bool) {
	live := []simlog.Kind{simlog.Rewrite, simlog.Digest, simlog.Overlap, simlog.Malformed, simlog.Signature, simlog.Delete,
		simlog.SignedDigest, simlog.Noncanonical, simlog.Previous, simlog.Reuse}
	switch {
	case epoch%7 != 3:
		return "", false
	case epoch <= *chaosBacklog && epoch%4 == 0:
		return simlog.Equivocate, true
	}
	return live[epoch/7%uint64(len(live))], true
}

func startStorm(t *testing.T, seed uint64) *storm {
	t.Helper()
	s3 := testservers.S3(t)
	s := &storm{
		chaos: newChaos(t, s3.BucketDir("audit"), testservers.S3Env()...), random: rand.New(rand.NewPCG(seed, 1)), began: time.Now(),
		redis: testservers.Redis(t, "--appendonly", "yes", "--appendfsync", "always"), s3: s3,
		webhook: newWebhook(t), clocks: map[*process]*os.File{}, inProgress: map[string]bool{}, done: map[string]int{},
		key: demoKey(seed),
	}
	s.toLog, s.toStore = testservers.Faulty(t, s.s3, seed), testservers.Faulty(t, s.s3, seed+1)
	s.store = filepath.Join(s.s3.BucketDir("audit"), chaosNamespace)
	s.configure()
	s.simulate(seed)
	for i := range 3 {
		s.startWithClock(fmt.Sprintf("worker-%d", i), "worker")
	}
	for i := range 2 {
		s.startWithClock(fmt.Sprintf("scheduler-%d", i), "scheduler")
	}
	return s
}

// configure writes the configuration file that all of them read.
func (s *storm) configure() {
	s.t.Helper()
	config := fmt.Sprintf(`
redis: %s
audit_store: %s
concurrency: 4
alerts:
  webhook: {name: chaos, url: %s, secret_env: WEBHOOK_SECRET}
namespaces:
  - namespace: %s
    log_directory: %s
    signatures: %s
    verifying_keys: [%s]
    poll: 1s
    archive: true
    recheck_after: [5s, 20s, 1m]
    recheck_history: 30s
    reverify_one_in: 1
`, s.redis.URL(), s.toStore.BucketURL("audit"), s.webhook.URL, chaosNamespace, s.toLog.BucketURL("log"),
		s.toLog.BucketURL("signatures"), verifyingKey(s.key))
	path := filepath.Join(s.dir, "ktaudit.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.env = append(s.env, "KTAUDIT_CONFIG="+path, "WEBHOOK_SECRET=of-sixteen-bytes-or-more",
		"KTAUDIT_SETTLE=0s") // an object of S3 is never half written
}

// simulate publishes the beginning of the log, without faults in between.
func (s *storm) simulate(seed uint64) {
	s.t.Helper()
	const most = 1 << 20 // epochs, in the longest of storms
	o := simlog.Options{
		Namespace: chaosNamespace, Seed: seed, SigningKey: s.key, Epochs: most, FirstLoad: 2000, Insertions: 50, RotationShare: 0.2,
		Compression: simlog.Mixed, Tamper: map[uint64]simlog.Kind{},
	}
	for epoch := uint64(1); epoch <= most; epoch++ {
		if kind, ok := tampered(epoch); ok {
			o.Tamper[epoch] = kind
		}
	}
	var err error
	s.log, err = simlog.Open(s.t.Context(), s.made("log"), s.made("signatures"), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.release("signatures", "0.json")
	s.publish(*chaosBacklog)
}

// made opens the folder where the log writes what it will publish.
func (s *storm) made(bucket string) *blob.Bucket {
	s.t.Helper()
	b, err := blobstore.OpenBucket(s.t.Context(), "file://"+filepath.Join(s.dir, "made", bucket)+"?create_dir=true")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = b.Close() })
	return b
}

// publish lets the log go on by so many epochs.
func (s *storm) publish(epochs uint64) {
	s.t.Helper()
	for range epochs {
		e, err := s.log.Next(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, key := range e.Objects {
			s.release("log", key)
		}
		s.published = e.Name.Epoch
		s.release("signatures", fmt.Sprintf("%d.json", s.published))
	}
}

// release puts an object, at one stroke as all are put into S3, where the server keeps its objects.
// So the log can publish while the server is down.
func (s *storm) release(bucket, key string) {
	s.t.Helper()
	to := filepath.Join(s.s3.BucketDir(bucket), key)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "made", bucket, key), to); err != nil {
		s.t.Fatal(err)
	}
}

// startWithClock starts a process on a machine of its own, as far as its clock goes.
func (s *storm) startWithClock(name, command string) {
	s.t.Helper()
	p := &process{c: s.chaos, name: name, args: []string{command}}
	if clocksJump {
		f, err := os.Create(filepath.Join(s.dir, name+".clock"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = f.Close() })
		s.clocks[p] = f
		s.setClock(p, 0)
		p.env = []string{clockVariable + "=" + f.Name()}
		probe := s.command("version")
		probe.Env = append(probe.Env, p.env...)
		if out, err := probe.CombinedOutput(); err != nil {
			// the kernel is another one, or Go's runtime has changed: see setClock
			s.t.Fatalf("%v: %s", err, out)
		}
	}
	p.start()
	s.processes = append(s.processes, p)
}

// setClock puts a process's clock off, now and after a restart.
func (s *storm) setClock(p *process, by time.Duration) {
	s.t.Helper()
	offset := binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second))
	if _, err := s.clocks[p].WriteAt(offset, 0); err != nil {
		s.t.Fatal(err)
	}
}

// note says what is done. The times are in the log for whoever looks for what a failure came from.
func (s *storm) note(format string, args ...any) {
	line := fmt.Sprintf("%s %6.2f s  %s\n", time.Now().UTC().Format("15:04:05.000"), time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
	f, err := os.OpenFile(filepath.Join(s.logs, "storm.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(line)
		_ = f.Close()
	}
	if err != nil {
		s.t.Error(err)
	}
}

// tend undoes what is due, starts processes again that could not start for all the faults, and
// looks at the verdicts.
func (s *storm) tend() {
	s.t.Helper()
	now := time.Now()
	due := func(d delayed) bool { return !now.Before(d.at) }
	for _, d := range s.later {
		if due(d) {
			s.note("%s: over", d.name)
			d.undo()
			delete(s.inProgress, d.name)
		}
	}
	s.later = slices.DeleteFunc(s.later, due)
	for _, p := range s.processes {
		if p.ended() && !s.inProgress["kill "+p.name] {
			s.note("%s has ended: %v", p.name, p.err)
			if now.Sub(p.began) > time.Minute || !s.ended.IsZero() && p.began.After(s.ended) {
				s.t.Errorf("%s ended by itself, though it had started or nothing was wrong: %v; see %s", p.name, p.err, s.logs)
			}
			s.restarts++
			s.hitches.add("restart", now, now)
			p.start()
		}
	}
	s.verdicts.look()
}

// during does something and undoes it some time later, unless it is being done already.
func (s *storm) during(name string, least, most time.Duration, do, undo func()) {
	s.t.Helper()
	if s.inProgress[name] {
		return
	}
	s.inProgress[name] = true
	length := least + time.Duration(s.random.Int64N(int64(most-least)))
	s.note("%s for %.2f s", name, length.Seconds())
	s.done[name]++
	now := time.Now()
	s.hitches.add(name, now, now.Add(length))
	do()
	s.later = append(s.later, delayed{now.Add(length), name, undo})
}
