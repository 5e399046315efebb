//go:build unix

package auditstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ktaudit/ktaudit/internal/localdisk"
)

// onDisk is an audit store with verdicts on epochs 1 and 2, and a folder outside it.
func onDisk(t *testing.T) (s *Store, folder, outside string) {
	t.Helper()
	folder, outside = t.TempDir(), t.TempDir()
	s = at(folder)(t)
	put(t, s, verdictBy(1, "w"))
	put(t, s, verdictBy(2, "w"))
	return s, folder, outside
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func openStore(t *testing.T, folder string) *Store { return at(folder)(t) }

func wantNotPlain(t *testing.T, err error, kind fs.FileMode) {
	t.Helper()
	odd, ok := errors.AsType[*localdisk.NotPlainError](err)
	if !ok || odd.Type != kind || errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want that something is %v", err, kind)
	}
}

// What stands in a verdict's place and is no file is never read, neither as a verdict nor for ever,
// nor does the epoch count as one without a verdict.
func TestHostileVerdictIsNoFile(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]fs.FileMode{
		"link outside": fs.ModeSymlink, "link inside": fs.ModeSymlink, "link to nothing": fs.ModeSymlink,
		"pipe": fs.ModeNamedPipe, "folder": fs.ModeDir,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, folder, outside := onDisk(t)
			key, _ := jsonKey(namespace, verdicts, 1)
			path := filepath.Join(folder, key)
			do(t, os.Rename(path, filepath.Join(outside, "smuggled")))
			switch name {
			case "link outside":
				do(t, os.Symlink(filepath.Join(outside, "smuggled"), path))
			case "link inside":
				do(t, os.Symlink("000000000002.json", path))
			case "link to nothing":
				do(t, os.Symlink("nothing", path))
			case "pipe":
				do(t, syscall.Mkfifo(path, 0o666))
			case "folder":
				do(t, os.Mkdir(path, 0o777))
			}
			_, err := s.Verdict(t.Context(), namespace, 1)
			wantNotPlain(t, err, kind)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("read: %v", err)
			}
			_, created, err := s.PutVerdict(t.Context(), verdictBy(1, "w"))
			wantNotPlain(t, err, kind)
			if created || !errors.Is(err, ErrCorrupt) {
				t.Errorf("written: %v, %v", created, err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode().Type() != kind {
				t.Errorf("it was replaced: %v, %v", info, err)
			}
			epochs, err := s.Epochs(t.Context(), namespace, 0)
			if want := []uint64{1, 2}; kind != fs.ModeDir && (err != nil || !slices.Equal(epochs, want)) {
				t.Errorf("epochs %v, %v; want %v", epochs, err, want)
			}
		})
	}
}

// A folder behind a link is not entered, and not taken for one that is empty.
func TestHostileFolderIsALink(t *testing.T) {
	t.Parallel()
	for _, part := range []string{namespace, namespace + "/" + verdicts, namespace + "/" + verdicts + "/000000000"} {
		for _, place := range []string{"outside", "inside"} {
			t.Run(strings.ReplaceAll(part, "/", "_")+" "+place, func(t *testing.T) {
				t.Parallel()
				s, folder, outside := onDisk(t)
				moved := filepath.Join(outside, "moved")
				if place == "inside" {
					moved = filepath.Join(folder, "moved")
				}
				do(t, os.Rename(filepath.Join(folder, part), moved), os.Symlink(moved, filepath.Join(folder, part)))
				_, err := s.Verdict(t.Context(), namespace, 1)
				wantNotPlain(t, err, fs.ModeSymlink)
				_, _, err = s.PutVerdict(t.Context(), verdictBy(3, "w"))
				wantNotPlain(t, err, fs.ModeSymlink)
				_, err = s.Epochs(t.Context(), namespace, 0)
				wantNotPlain(t, err, fs.ModeSymlink)
				// A shard that is a link is named, so that whoever reads it is told.
				shards, err := s.Shards(t.Context(), namespace, 0, 10)
				if strings.HasSuffix(part, "000000000") {
					if err != nil || !slices.Equal(shards, []uint64{0}) {
						t.Errorf("shards %v, %v", shards, err)
					}
				} else {
					wantNotPlain(t, err, fs.ModeSymlink)
				}
			})
		}
	}
}

// An archive that is no file is neither read nor removed.
func TestHostileArchiveIsALink(t *testing.T) {
	t.Parallel()
	s, folder, outside := onDisk(t)
	key, _ := archiveKey(namespace, 1, ".zst")
	victim := filepath.Join(outside, "victim")
	do(t, os.WriteFile(victim, []byte("x"), 0o444))
	path := filepath.Join(folder, key)
	do(t, os.MkdirAll(filepath.Dir(path), 0o777), os.Symlink(victim, path))
	_, err := s.OpenArchive(t.Context(), namespace, 1)
	wantNotPlain(t, err, fs.ModeSymlink)
	wantNotPlain(t, s.RemoveArchive(t.Context(), namespace, 1, ".zst"), fs.ModeSymlink)
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// The root may be a link: whoever runs ktaudit has put it there.
func TestRootBehindALink(t *testing.T) {
	t.Parallel()
	_, folder, outside := onDisk(t)
	link := filepath.Join(outside, "audit")
	do(t, os.Symlink(folder, link))
	s := openStore(t, link)
	put(t, s, verdictBy(3, "w"))
	if epochs, err := s.Epochs(t.Context(), namespace, 0); err != nil || len(epochs) != 3 {
		t.Errorf("%v, %v", epochs, err)
	}
}
