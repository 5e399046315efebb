package writeonce

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
)

const kind = "example.log/verdicts" // a namespace and a kind of object

func keyOf(epoch int) string { return fmt.Sprintf("%s/000000000/%012d.json", kind, epoch) }

func diskAt(t *testing.T, folder string) *Disk {
	t.Helper()
	d, err := NewDisk(blobstore.Folder{Path: folder})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t *testing.T, d *Disk, epoch int) {
	t.Helper()
	if err := d.Put(t.Context(), keyOf(epoch), []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func read(ctx context.Context, o Objects, key string) (string, error) {
	r, _, err := o.Open(ctx, key)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

// syncs records what is brought to the disk, and when: the draft before or after its object has a
// name.
type syncs struct {
	disk *Disk
	key  string
	made []string
	fail int // the number of the sync that fails, from 1
}

func watch(t *testing.T, folder, key string) *syncs {
	w := &syncs{disk: diskAt(t, folder), key: key}
	w.disk.maker.Sync = w.sync
	return w
}

func (w *syncs) sync(f *os.File) error {
	what, err := filepath.Rel(w.disk.root, f.Name())
	if err != nil {
		return err
	}
	if strings.Contains(what, draftsFolder+"/") {
		what = "draft"
	}
	if _, err := os.Stat(filepath.Join(w.disk.root, w.key)); err == nil {
		what += ", named"
	}
	w.made = append(w.made, what)
	if len(w.made) == w.fail {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
	}
	return f.Sync()
}

var first = []string{ // the syncs of the first object in an empty folder
	".", "example.log", kind, // the entries of the namespace, of the kind, of the drafts
	"draft",                    // the bytes, before they have a name
	kind,                       // the entry of the shard
	kind + "/000000000, named", // the entry of the object, before anyone is told
}

func TestBytesAreSyncedBeforeTheNameAndTheNameBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	w := watch(t, folder, keyOf(1))
	put(t, w.disk, 1)
	if !slices.Equal(w.made, first) {
		t.Errorf("first object: synced %q, want %q", w.made, first)
	}
	shard := kind + "/000000000, named"
	w.made = nil
	if err := w.disk.Put(t.Context(), keyOf(1), []byte("loser")); !errors.Is(err, ErrExists) {
		t.Errorf("lost race: %v", err)
	}
	if want := []string{"draft, named", shard}; !slices.Equal(w.made, want) {
		t.Errorf("lost race: synced %q, want %q", w.made, want)
	}
	w.made, w.key = nil, keyOf(2)
	put(t, w.disk, 2)
	if want := []string{"draft", shard}; !slices.Equal(w.made, want) {
		t.Errorf("next object: synced %q, want %q", w.made, want)
	}
	// A folder that was taken away and is there again may not be on disk.
	if err := os.RemoveAll(filepath.Join(folder, kind, "000000000")); err != nil {
		t.Fatal(err)
	}
	w.made = nil
	put(t, w.disk, 2)
	if want := []string{"draft", kind, shard}; !slices.Equal(w.made, want) {
		t.Errorf("after a folder was removed: synced %q, want %q", w.made, want)
	}
	// Another process finds the folders, but cannot know whether they are on disk.
	w = watch(t, folder, keyOf(3))
	put(t, w.disk, 3)
	if !slices.Equal(w.made, first) {
		t.Errorf("another process: synced %q, want %q", w.made, first)
	}
}

func TestAFailedSyncIsNoObject(t *testing.T) {
	t.Parallel()
	key := keyOf(1)
	for fail := 1; fail <= len(first); fail++ {
		w := watch(t, t.TempDir(), key)
		w.fail = fail
		if err := w.disk.Put(t.Context(), key, []byte("x")); !errors.Is(err, syscall.EIO) {
			t.Errorf("sync %d fails: %v", fail, err)
		}
		_, err := read(t.Context(), w.disk, key)
		if named := err == nil; named != (fail == len(first)) {
			t.Errorf("sync %d fails: the object can be read: %v (%v)", fail, named, err)
		}
		if drafts, _ := filepath.Glob(filepath.Join(w.disk.root, kind, draftsFolder, "*")); len(drafts) != 0 {
			t.Errorf("sync %d fails: left %v", fail, drafts)
		}
		w.fail = 0
		if err := w.disk.Put(t.Context(), key, []byte("x")); err != nil && !errors.Is(err, ErrExists) {
			t.Errorf("after sync %d failed: %v", fail, err)
		}
		if data, err := read(t.Context(), w.disk, key); data != "x" {
			t.Errorf("after sync %d failed: %q, %v", fail, data, err)
		}
	}
}

func TestAbandonedDraftsAreSwept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, diskAt(t, folder), 1)
	drafts := filepath.Join(folder, kind, draftsFolder)
	old, young, others := rand.Text(), rand.Text(), "notes.txt"
	for name, age := range map[string]time.Duration{old: 2 * abandonedAfter, young: abandonedAfter / 2, others: 2 * abandonedAfter} {
		writeAged(t, filepath.Join(drafts, name), age)
	}
	put(t, diskAt(t, folder), 2)
	var left []string
	entries, err := os.ReadDir(drafts)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{young, others}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left: %v, %v; want %v", left, err, want)
	}
}

// writeAged writes a file that has been there for some time.
func writeAged(t *testing.T, path string, age time.Duration) {
	t.Helper()
	err := os.WriteFile(path, []byte("half an obj"), 0o444)
	if err == nil {
		err = os.Chtimes(path, time.Time{}, time.Now().Add(-age))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestObjectsAreReadOnly(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, diskAt(t, folder), 1)
	info, err := os.Stat(filepath.Join(folder, keyOf(1)))
	if err != nil || info.Mode().Perm()&0o222 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
