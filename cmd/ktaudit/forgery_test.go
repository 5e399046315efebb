package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/witness"
	"github.com/rs/zerolog"
)

// logged is an audit with a verdict log and two witnesses, both of which must cosign.
type logged struct {
	t         *testing.T
	dir       string // holds audit, the store
	namespace string
}

const loggedLast = 1_010 // one whole shard, which is sealed, and a part of another

// newLogged has epochs 1 to loggedLast judged, sealed, logged and witnessed; and, in the
// file kept, the checkpoint that somebody kept ten epochs before.
func newLogged(t *testing.T) logged {
	t.Helper()
	l := logged{t, t.TempDir(), jobstest.Namespace}
	for _, folder := range []string{l.store(), filepath.Join(l.dir, "one.example"), filepath.Join(l.dir, "two.example")} {
		jobstest.Must(t, os.Mkdir(folder, 0o700))
	}
	l.configure(l.dir, "log.key", "auditor", l.witnesses())
	l.judge(l.dir, 1, loggedLast-10, nil)
	l.seal(l.dir)
	if status, out := l.run("log", "append"); status != exitGood {
		t.Fatalf("log append ends with %d: %s", status, out)
	}
	data, err := os.ReadFile(filepath.Join(l.store(), l.namespace, "tlog/verdicts/checkpoint"))
	jobstest.Must(t, errors.Join(err, os.WriteFile(filepath.Join(l.dir, "kept"), data, 0o600)))
	l.copyStore("audit", "before")
	l.judge(l.dir, loggedLast-9, loggedLast, nil)
	if status, out := l.run("log", "append"); status != exitGood {
		t.Fatalf("log append ends with %d: %s", status, out)
	}
	return l
}

func (l logged) store() string { return filepath.Join(l.dir, "audit") }

// witnesses starts two witnesses, which keep what they have seen in folders beside the store, and
// returns the section of the configuration that names them.
func (l logged) witnesses() string {
	var keys []witness.Log
	for _, kind := range []transparency.Kind{transparency.Verdicts, transparency.Events} {
		log := tlogtest.New(transparency.Origin("auditor.example.org", l.namespace, kind))
		log.Key = l.key("auditor")
		keys = append(keys, witness.Log{Key: log.Verifier()})
	}
	text := "witnesses:\n  require: 2\n  members:\n"
	for _, name := range []string{"one.example", "two.example"} {
		store, err := auditstore.Open(l.t.Context(), filepath.Join(l.dir, name))
		jobstest.Must(l.t, err)
		l.t.Cleanup(func() { _ = store.Close() })
		w, err := witness.New(store, name, tlogtest.Key(name), keys)
		jobstest.Must(l.t, err)
		server := httptest.NewServer(w.Handler("", zerolog.Nop()))
		l.t.Cleanup(server.Close)
		text += fmt.Sprintf("    - {url: %s, key: %s}\n", server.URL, w.Key())
	}
	return text
}

func (l logged) key(name string) ed25519.PrivateKey { return tlogtest.Key(name) }

// configure writes ktaudit.yaml in a folder, for the store "audit" in it.
func (l logged) configure(dir, file, key, witnesses string) {
	l.t.Helper()
	private := l.key(key)
	path := filepath.Join(dir, file)
	text := fmt.Sprintf("audit_store: %q\nverdict_log:\n  origin: auditor.example.org\n  key: {file: %q}\n%snamespaces:\n  - {namespace: %s, log_directory: %q, max_lag: never, last: %d}\n",
		filepath.Join(dir, "audit"), path, witnesses, l.namespace, filepath.Join(dir, "log"), loggedLast)
	jobstest.Must(l.t, errors.Join(os.WriteFile(path, []byte(hex.EncodeToString(private.Seed())), 0o600),
		os.WriteFile(filepath.Join(dir, "ktaudit.yaml"), []byte(text), 0o600)))
}

// run runs a command with the configuration, in this process.
func (l logged) run(args ...string) (status int, output string) { return l.runIn(l.dir, args...) }

func (l logged) runIn(dir string, args ...string) (status int, output string) {
	l.t.Helper()
	var out bytes.Buffer
	status = execute(l.t.Context(), append(args, "--config", filepath.Join(dir, "ktaudit.yaml")), &out, &out)
	return status, out.String()
}

// open opens the store of a folder, for what a forger does.
func (l logged) open(dir string, do func(*auditstore.Store)) {
	l.t.Helper()
	store, err := auditstore.Open(l.t.Context(), filepath.Join(dir, "audit"))
	jobstest.Must(l.t, err)
	do(store)
	jobstest.Must(l.t, store.Close())
}

// judge puts verdicts on record, changed by change.
func (l logged) judge(dir string, from, to uint64, change func(*verdict.Verdict)) {
	l.open(dir, func(store *auditstore.Store) {
		for epoch := from; epoch <= to; epoch++ {
			v := jobstest.GoodVerdict(epoch)
			v.FinishedAt = time.Unix(1_700_000_000, 0).UTC()
			if change != nil {
				change(&v)
			}
			_, _, err := store.PutVerdict(l.t.Context(), v)
			jobstest.Must(l.t, err)
		}
	})
}

func (l logged) seal(dir string) {
	l.open(dir, func(store *auditstore.Store) {
		_, err := (&seal.Sealer{Store: store, Namespace: l.namespace, Log: zerolog.Nop()}).Seal(l.t.Context(), 1, verdict.MaxEpoch)
		jobstest.Must(l.t, err)
	})
}

func (l logged) copyStore(from, to string) {
	l.t.Helper()
	linkAll(l.t, filepath.Join(l.dir, from), filepath.Join(l.dir, to))
}

// linkAll makes a copy of a folder in which files are the same, until one is removed: objects of a
// store are created once.
func linkAll(t *testing.T, from, to string) {
	t.Helper()
	jobstest.Must(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err == nil && d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return errors.Join(err, os.Link(path, target))
	}))
}

// remove removes objects of the store, by patterns below the namespace.
func (l logged) remove(patterns ...string) {
	l.t.Helper()
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(l.store(), l.namespace, pattern))
		if err != nil || len(paths) == 0 {
			l.t.Fatalf("%s: %q, %v", pattern, paths, err)
		}
		for _, path := range paths {
			jobstest.Must(l.t, os.RemoveAll(path))
		}
	}
}

// TestForgers has somebody who may write everything in the audit store change what the auditor
// said, in many ways. Each is found by seal --check, is an incident from then on, and is shown by a
// checkpoint that somebody kept.
func TestForgers(t *testing.T) {
	t.Parallel()
	honest := newLogged(t)
	for _, args := range [][]string{
		{"seal", "--check"}, {"log", "check", "--checkpoint", filepath.Join(honest.dir, "kept")}, {"log", "append"}, {"status"},
	} {
		if status, out := honest.run(args...); status != exitGood {
			t.Fatalf("before any forger comes, ktaudit %q ends with %d:\n%s", args, status, out)
		}
	}
	lie := func(v *verdict.Verdict) {
		v.Outcome, v.Reason = verdict.Rejected, verdict.DigestMismatch
	}
	for _, c := range []struct {
		name  string
		forge func(l logged)
		// incident is the kind that seal --check raises.
		incident string
	}{
		{"a verdict is changed, and seal and history are made anew", func(l logged) {
			l.remove("verdicts/000000000/000000000500.json", "seals", "history")
			l.judge(l.dir, 500, 500, lie)
			l.seal(l.dir)
		}, "verdict_log_changed"},
		{"the last verdicts are removed", func(l logged) {
			l.remove("verdicts/000000001/00000000100?.json")
		}, "verdict_log_changed"},
		{"a verdict is removed, with seal and history", func(l logged) {
			l.remove("verdicts/000000000/000000000500.json", "seals", "history")
		}, "verdict_log_changed"},
		{"a tile is changed", func(l logged) {
			path := filepath.Join(l.store(), l.namespace, "tlog/verdicts/tile/0/001")
			data, err := os.ReadFile(path)
			jobstest.Must(t, err)
			data[100] ^= 1
			jobstest.Must(t, errors.Join(os.Remove(path), os.WriteFile(path, data, 0o600)))
		}, "verdict_log_changed"},
		{"verdicts, seals and the whole log are made anew, under another key", func(l logged) {
			l.rewrite("other", lie)
		}, "verdict_log_changed"},
		{"verdicts, seals and the whole log are made anew, under the stolen key", func(l logged) {
			l.rewrite("auditor", lie)
		}, "witness_disagrees"},
		{"the whole log is made anew, under the stolen key, with the old cosignatures", func(l logged) {
			witnessed := filepath.Join(l.store(), l.namespace, "tlog/verdicts/witnessed")
			kept := filepath.Join(l.dir, "witnessed")
			linkAll(t, witnessed, kept)
			l.rewrite("auditor", lie)
			linkAll(t, kept, witnessed)
		}, "verdict_log_changed"},
		{"the log is put back", func(l logged) {
			l.remove("tlog")
			linkAll(t, filepath.Join(l.dir, "before", l.namespace, "tlog"), filepath.Join(l.store(), l.namespace, "tlog"))
		}, "witness_disagrees"},
		{"the whole store is put back", func(l logged) {
			jobstest.Must(t, os.RemoveAll(l.store()))
			l.copyStore("before", "audit")
		}, "witness_disagrees"},
		{"the whole store is replaced by one of an honest log", func(l logged) {
			other := logged{l.t, filepath.Join(l.dir, "honest"), l.namespace}
			linkAll(t, l.store(), other.store())
			other.remove("verdicts/000000001", "verdicts/000000000/000000000500.json", "seals", "history", "tlog")
			another := func(v *verdict.Verdict) { v.Batch.SHA256 = strings.Repeat("ab", 32) }
			other.configure(other.dir, "log.key", "other", "")
			other.judge(other.dir, 500, 500, another)
			other.judge(other.dir, 1001, loggedLast, another)
			other.seal(other.dir)
			if status, out := other.run("log", "append"); status != exitGood {
				t.Fatalf("log append ends with %d: %s", status, out)
			}
			jobstest.Must(t, os.RemoveAll(l.store()))
			jobstest.Must(t, os.Rename(other.store(), l.store()))
		}, "verdict_log_changed"},
		{"the log is removed", func(l logged) { l.remove("tlog") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := honest.copy(t)
			c.forge(l)
			// What the forger does not have, whoever kept a checkpoint has.
			kept := filepath.Join(honest.dir, "kept")
			before := slices.Contains([]string{"the log is put back", "the whole store is put back"}, c.name)
			if before { // to just what was kept: a later one shows it
				kept = filepath.Join(honest.store(), l.namespace, "tlog/verdicts/checkpoint")
			}
			if status, out := l.run("log", "check", "--checkpoint", kept); status != exitFound {
				t.Errorf("log check with a kept checkpoint ends with %d:\n%s", status, out)
			}
			// A scheduler does the rounds that log append does. It finds what a sample shows, and what
			// witnesses know; a log that follows from the verdicts again is as it was.
			rounds, want := [][]string{{"log", "append"}, {"incidents"}}, exitFound
			switch c.name {
			case "the log is put back":
				want = exitGood
			case "a tile is changed", "a verdict is removed, with seal and history": // found by chance
				rounds = nil
			}
			if raceDetector { // it finds nothing more in them
				rounds = nil
			}
			scheduled := l
			if rounds != nil {
				scheduled = l.copy(t)
			}
			for _, args := range rounds {
				if status, out := scheduled.run(args...); status != want {
					t.Errorf("%q ends with %d:\n%s", args, status, out)
				}
			}
			status, out := l.run("seal", "--check")
			if status != exitFound {
				t.Errorf("seal --check ends with %d:\n%s", status, out)
			}
			if c.incident == "" {
				return
			}
			if status, out := l.run("incidents"); status != exitFound || !strings.Contains(out, c.incident+"/verdicts") {
				t.Errorf("incidents ends with %d:\n%s", status, out)
			}
			if status, out := l.run("status"); status != exitFound || !strings.Contains(out, c.incident) {
				t.Errorf("status ends with %d:\n%s", status, out)
			}
		})
	}
}

// copy returns the audit in a folder of its own, with witnesses of its own that have seen the same.
func (l logged) copy(t *testing.T) logged {
	t.Helper()
	c := logged{t, t.TempDir(), l.namespace}
	linkAll(t, l.dir, c.dir)
	for _, file := range []string{"ktaudit.yaml", "log.key"} {
		jobstest.Must(t, os.Remove(filepath.Join(c.dir, file)))
	}
	c.configure(c.dir, "log.key", "auditor", c.witnesses())
	return c
}

// rewrite makes verdicts, seals and the log anew, with a lie in them, and has no witness cosign it.
func (l logged) rewrite(key string, lie func(*verdict.Verdict)) {
	l.t.Helper()
	honest, err := os.ReadFile(filepath.Join(l.dir, "ktaudit.yaml"))
	jobstest.Must(l.t, err)
	l.remove("verdicts/000000000/000000000500.json", "seals", "history", "tlog")
	l.judge(l.dir, 500, 500, lie)
	l.seal(l.dir)
	l.configure(l.dir, "forger.key", key, "")
	if status, out := l.run("log", "append"); status != exitGood {
		l.t.Fatalf("log append ends with %d: %s", status, out)
	}
	jobstest.Must(l.t, os.WriteFile(filepath.Join(l.dir, "ktaudit.yaml"), honest, 0o600))
}
