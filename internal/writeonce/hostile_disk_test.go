//go:build unix

package writeonce

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/localdisk"
)

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A link in the place of the drafts made the sweep remove what it led to.
func TestHostileDraftsFolderIsALink(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"inside": "../verdicts/000000000", "outside": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, archives := t.TempDir(), "example.log/archive"
			put(t, diskAt(t, folder), 1)
			if target == "" {
				target = t.TempDir()
			}
			do(t, os.Mkdir(filepath.Join(folder, archives), 0o777),
				os.Symlink(target, filepath.Join(folder, archives, draftsFolder)))
			at := target
			if !filepath.IsAbs(target) {
				at = filepath.Join(folder, archives, target)
			}
			for _, file := range []string{"000000000001.json", rand.Text()} {
				path := filepath.Join(at, file)
				_ = os.Remove(path)
				writeAged(t, path, 2*abandonedAfter)
			}
			before, _ := os.ReadDir(at)
			// Another process comes, and has not swept yet.
			w, err := diskAt(t, folder).Create(t.Context(), archives+"/000000000/000000000001.zst")
			if err == nil {
				w.Abort()
			}
			if odd, ok := errors.AsType[*localdisk.NotPlainError](err); !ok || odd.Type != fs.ModeSymlink {
				t.Errorf("%v, want that something is a link", err)
			}
			if after, _ := os.ReadDir(at); len(after) != len(before) {
				t.Errorf("%d of %d files are left", len(after), len(before))
			}
		})
	}
}

// The sweep takes old regular files that have the name of a draft, and nothing else.
func TestHostileNamesAmongDrafts(t *testing.T) {
	t.Parallel()
	folder, outside := t.TempDir(), t.TempDir()
	put(t, diskAt(t, folder), 1)
	drafts := filepath.Join(folder, kind, draftsFolder)
	victim := filepath.Join(outside, "victim")
	writeAged(t, victim, 2*abandonedAfter)
	link, pipe, dir, other := rand.Text(), rand.Text(), rand.Text(), strings.ToLower(rand.Text())
	do(t, os.Symlink(victim, filepath.Join(drafts, link)), syscall.Mkfifo(filepath.Join(drafts, pipe), 0o666),
		os.Mkdir(filepath.Join(drafts, dir), 0o777))
	writeAged(t, filepath.Join(drafts, other), 2*abandonedAfter)
	old := time.Now().Add(-2 * abandonedAfter)
	do(t, os.Chtimes(filepath.Join(drafts, pipe), old, old), os.Chtimes(filepath.Join(drafts, dir), old, old))
	put(t, diskAt(t, folder), 3)
	entries, err := os.ReadDir(drafts)
	if err != nil || len(entries) != 4 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}
