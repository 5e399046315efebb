package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// verdictWatch sees verdicts appear in the folder of an audit store. It reads each once, when it is
// new, and all again at the end.
type verdictWatch struct {
	t      *testing.T
	folder string
	seen   map[string]seenVerdict // by path
	full   map[string]bool        // folders that hold all they ever will
}

// seenVerdict is a verdict's file as it was when it was first seen.
type seenVerdict struct {
	hash    [sha256.Size]byte
	written time.Time
}

func newVerdictWatch(t *testing.T, folder string) *verdictWatch {
	return &verdictWatch{t: t, folder: folder, seen: map[string]seenVerdict{}, full: map[string]bool{}}
}

func (w *verdictWatch) count() uint64 { return uint64(len(w.seen)) }

// look reads what is new.
func (w *verdictWatch) look() {
	w.t.Helper()
	for _, shard := range w.list(w.folder) {
		folder := filepath.Join(w.folder, shard.Name())
		if !shard.IsDir() || w.full[folder] || shard.Name()[0] == '.' {
			continue
		}
		entries := w.list(folder)
		w.full[folder] = len(entries) == verdict.EpochsPerShard
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			if _, known := w.seen[path]; !known {
				_, w.seen[path] = w.read(path)
			}
		}
	}
}

// check wants verdicts on the epochs from 1 to last, verified and unchanged.
func (w *verdictWatch) check(last uint64) {
	w.t.Helper()
	verdicts := w.verdicts()
	for epoch := uint64(1); epoch <= last; epoch++ {
		if v := verdicts[epoch]; v.Outcome != verdict.Verified {
			w.t.Errorf("epoch %d: %+v, want it verified", epoch, v)
		}
	}
	if uint64(len(verdicts)) != last {
		w.t.Errorf("%d epochs have a verdict, want %d", len(verdicts), last)
	}
}

// verdicts reads everything again and returns it by epoch. Each verdict must be the one that was
// first seen.
func (w *verdictWatch) verdicts() map[uint64]verdict.Verdict {
	w.t.Helper()
	w.look()
	verdicts := map[uint64]verdict.Verdict{}
	for path, first := range w.seen {
		data, now := w.read(path)
		if now != first {
			w.t.Errorf("%s was written twice", path)
		}
		var v verdict.Verdict
		err := json.Unmarshal(data, &v)
		if _, twice := verdicts[v.Epoch]; err != nil || twice {
			w.t.Errorf("%s: error %v, %+v, want one verdict on an epoch", path, err, v)
		}
		verdicts[v.Epoch] = v
	}
	return verdicts
}

func (w *verdictWatch) read(path string) ([]byte, seenVerdict) {
	w.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return data, seenVerdict{sha256.Sum256(data), info.ModTime()}
}

func (w *verdictWatch) list(folder string) []fs.DirEntry {
	w.t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return entries
}
