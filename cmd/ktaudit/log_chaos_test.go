package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/witness"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/tlog"
)

// TestKilledAppenders has several processes append to the same logs, and kills all of them at
// random, again and again, while verdicts and incidents come. Of each size there is one tree, ever;
// nothing is missing in the end; and no witness was asked for what it must not cosign.
func TestKilledAppenders(t *testing.T) {
	t.Parallel()
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		runLogStorm(t, "file://"+dir, dir, nil)
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		s3 := testservers.S3(t)
		runLogStorm(t, s3.BucketURL("logged"), s3.BucketDir("logged"), testservers.S3Env())
	})
}

// logStorm is an audit whose verdict log is appended to by processes that are killed.
type logStorm struct {
	*chaos
	store *auditstore.Store
	dir   string // of the store's objects
	rand  *rand.Rand

	mu    sync.Mutex
	trees map[string]map[int64]tlog.Hash // by origin and size
}

func runLogStorm(t *testing.T, url, dir string, env []string) {
	bursts, processes, most := 12, 3, 40
	switch {
	case serveLong:
		bursts, processes, most = 100, 4, 400
	case raceDetector:
		bursts = 5
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &logStorm{chaos: newChaos(t, "unwatched", env...), dir: dir, rand: rand.New(rand.NewPCG(seed, 0)), trees: map[string]map[int64]tlog.Hash{}}
	s.configure(url)
	var err error
	s.store, err = auditstore.Open(t.Context(), url)
	jobstest.Must(t, err)
	t.Cleanup(func() { _ = s.store.Close() })

	watched, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(watched) })
	incidents := incident.Recorder{Store: s.store, Log: zerolog.Nop()}
	last, killed := uint64(0), 0
	typical := 200 * time.Millisecond // how long a process takes that nobody kills, about
	for burst := range bursts {
		for range 1 + s.rand.IntN(most) {
			last++
			v := jobstest.GoodVerdict(last)
			v.Namespace = chaosNamespace
			_, _, err := s.store.PutVerdict(t.Context(), v)
			jobstest.Must(t, err)
		}
		jobstest.Must(t, incidents.Raise(t.Context(), alert.Alert{
			Kind: alert.SplitView, Namespace: chaosNamespace, Incident: alert.FactIncident(alert.SplitView, last), Epoch: last, Summary: "for this test",
		}))
		var group sync.WaitGroup
		finished := 0
		for range processes {
			delay := time.Duration(s.rand.Float64() * 1.8 * float64(typical))
			var output strings.Builder
			cmd := s.command("log", "append", "--config", "ktaudit.yaml")
			cmd.Stdout, cmd.Stderr = &output, &output
			jobstest.Must(t, cmd.Start())
			began := time.Now()
			killing := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
			group.Go(func() {
				err := cmd.Wait()
				killing.Stop()
				s.mu.Lock()
				defer s.mu.Unlock()
				switch {
				case err == nil:
					typical = (typical + time.Since(began)) / 2
					finished++
				case cmd.ProcessState.ExitCode() == -1:
					killed++
				default:
					t.Errorf("burst %d: log append ends with %d: %s", burst, cmd.ProcessState.ExitCode(), output.String())
				}
			})
		}
		group.Wait()
		if finished == 0 { // there is more to do for each than there was
			typical = typical * 4 / 3
		}
	}
	var result appended
	s.ktaudit(&result, "log", "append", "--config", "ktaudit.yaml")
	stop()
	watching.Wait()
	s.look()
	t.Logf("%d epochs, %d processes killed, %d trees seen", last, killed, len(s.trees[transparency.Origin(logStormBase, chaosNamespace, transparency.Verdicts)]))
	if killed < bursts/2 {
		t.Errorf("only %d processes were killed", killed)
	}
	if result.Verdicts.Entries != int64(last) || result.Verdicts.Witnessed != int64(last) || result.Events.Entries < int64(bursts) || len(result.Findings) > 0 {
		t.Errorf("%d epochs and %d incidents came to %+v", last, bursts, result)
	}
	var checked checkedLog
	s.ktaudit(&checked, "log", "check", "--config", "ktaudit.yaml")
	if checked.Entries != int64(last) || len(checked.Findings) > 0 {
		t.Errorf("checking found %+v", checked)
	}
	var list incident.List
	list, err = incident.ReadList(t.Context(), s.store, chaosNamespace)
	jobstest.Must(t, err)
	for _, o := range list.Open {
		if o.Kind != alert.SplitView {
			t.Errorf("open is %s", o.Incident)
		}
	}
}

const logStormBase = "auditor.example.org"

// configure writes the configuration, with a witness that runs in this process.
func (s *logStorm) configure(url string) {
	s.t.Helper()
	key := tlogtest.Key("storm")
	var logs []witness.Log
	for _, kind := range []transparency.Kind{transparency.Verdicts, transparency.Events} {
		log := tlogtest.New(transparency.Origin(logStormBase, chaosNamespace, kind))
		log.Key = key
		logs = append(logs, witness.Log{Key: log.Verifier()})
	}
	w, err := witness.New(auditstore.New(jobstest.OpenMemory(s.t)), "witness.example", tlogtest.Key("witness.example"), logs)
	jobstest.Must(s.t, err)
	server := httptest.NewServer(w.Handler("", zerolog.Nop()))
	s.t.Cleanup(server.Close)
	text := fmt.Sprintf("audit_store: %q\nverdict_log:\n  origin: %s\n  key: {file: log.key}\n"+
		"witnesses: {require: 1, members: [{url: %q, key: %s}]}\nnamespaces:\n  - {namespace: %s, log_directory: ./log}\n",
		url, logStormBase, server.URL, w.Key(), chaosNamespace)
	jobstest.Must(s.t, errors.Join(
		os.WriteFile(filepath.Join(s.chaos.dir, "log.key"), []byte(hex.EncodeToString(key.Seed())), 0o600),
		os.WriteFile(filepath.Join(s.chaos.dir, "ktaudit.yaml"), []byte(text), 0o600)))
}

// watch looks at every checkpoint that comes into the store, until ctx ends.
func (s *logStorm) watch(ctx context.Context) {
	for ctx.Err() == nil {
		s.look()
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// look notes the trees of all checkpoints that are in the store now: of each size there is one.
func (s *logStorm) look() {
	for _, kind := range []transparency.Kind{transparency.Verdicts, transparency.Events} {
		folder := filepath.Join(s.dir, chaosNamespace, "tlog", string(kind))
		for _, pattern := range []string{"checkpoint", "checkpoints/*", "witnessed/*"} {
			paths, _ := filepath.Glob(filepath.Join(folder, pattern))
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if err != nil || !strings.Contains(string(data), "\n\n") {
					continue // swept, or being written
				}
				c, err := transparency.ParseCheckpoint(data)
				if err != nil {
					continue
				}
				s.note(path, c)
			}
		}
	}
}

func (s *logStorm) note(path string, c transparency.Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	trees := s.trees[c.Origin]
	if trees == nil {
		trees = map[int64]tlog.Hash{}
		s.trees[c.Origin] = trees
	}
	if other, ok := trees[c.N]; ok && other != c.Hash {
		s.t.Errorf("%s: two trees of %d entries: %s and %s", path, c.N, other, c.Hash)
	}
	trees[c.N] = c.Hash
}
