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

	"github.com/ktaudit/ktaudit/blobstore"
)

// ledger watches the folder behind an audit store where verdicts appear.
type ledger struct {
	t      *testing.T
	folder string
	seen   map[string]fileVersion // every verdict as it was when it was first seen
}

// fileVersion tells one state of a file from another.
type fileVersion struct {
	hash    [sha256.Size]byte
	written time.Time
}

// look reads the verdicts that are new since the last time and returns how many there are.
func (l *ledger) look() uint64 {
	l.t.Helper()
	l.eachFile(func(path string, entry fs.DirEntry) {
		if _, known := l.seen[path]; !known {
			_, l.seen[path] = l.read(path, entry)
		}
	})
	return uint64(len(l.seen))
}

// verdicts returns the verdicts by epoch. Each must be the same as when it was first seen, and none may have gone.
func (l *ledger) verdicts() map[uint64]blobstore.Verdict {
	l.t.Helper()
	l.look()
	verdicts := map[uint64]blobstore.Verdict{}
	l.eachFile(func(path string, entry fs.DirEntry) {
		data, version := l.read(path, entry)
		if version != l.seen[path] {
			l.t.Errorf("%s was written twice", filepath.Base(path))
		}
		var v blobstore.Verdict
		err := json.Unmarshal(data, &v)
		if _, twice := verdicts[v.Epoch]; err != nil || twice {
			l.t.Errorf("%s: error %v, %+v, want one verdict on an epoch", filepath.Base(path), err, v)
		}
		verdicts[v.Epoch] = v
	})
	if len(verdicts) != len(l.seen) {
		l.t.Errorf("%d verdicts were seen, %d are there", len(l.seen), len(verdicts))
	}
	return verdicts
}

func (l *ledger) read(path string, entry fs.DirEntry) ([]byte, fileVersion) {
	l.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	info, err := entry.Info()
	if err != nil {
		l.t.Fatal(err)
	}
	return data, fileVersion{sha256.Sum256(data), info.ModTime()}
}

// eachFile visits the verdicts. Files that are still being written have other names.
func (l *ledger) eachFile(visit func(path string, entry fs.DirEntry)) {
	l.t.Helper()
	err := filepath.WalkDir(l.folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".json" {
			visit(path, entry)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // not begun yet, or a draft that has gone
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}
