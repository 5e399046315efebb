package auditstore

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// syncs records what is brought to the disk, and when: the draft before or after its object has a
// name.
type syncs struct {
	disk *disk
	key  string
	made []string
	fail int // the number of the sync that fails, from 1
}

func watch(t *testing.T, folder, key string) (*syncs, *Store) {
	s := at(folder)(t)
	w := &syncs{disk: s.objects.(*disk), key: key}
	w.disk.Sync = w.sync
	return w, s
}

func (w *syncs) sync(f *os.File) error {
	what, err := filepath.Rel(w.disk.root, f.Name())
	if err != nil {
		return err
	}
	if strings.Contains(what, draftsFolder+"/") {
		what = "draft"
	}
	if _, err := os.Stat(w.disk.path(w.key)); err == nil {
		what += ", named"
	}
	w.made = append(w.made, what)
	if len(w.made) == w.fail {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
	}
	return f.Sync()
}

var first = []string{ // the syncs of the first verdict in an empty folder
	// the entries of the namespace, of its verdicts, of the drafts
	".", namespace, namespace + "/verdicts",
	"draft",                 // the bytes, before they have a name
	namespace + "/verdicts", // the entry of the shard
	// the entry of the verdict, before anyone is told
	namespace + "/verdicts/000000000" + ", named",
}

func TestBytesAreSyncedBeforeTheNameAndTheNameBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	key, _ := jsonKey(namespace, verdicts, 1)
	w, s := watch(t, folder, key)
	put(t, s, verdictBy(1, "w"))
	if !slices.Equal(w.made, first) {
		t.Errorf("first verdict: synced %q, want %q", w.made, first)
	}
	shard := namespace + "/verdicts/000000000, named"
	w.made = nil
	put(t, s, verdictBy(1, "loser"))
	if want := []string{"draft, named", shard}; !slices.Equal(w.made, want) {
		t.Errorf("lost race: synced %q, want %q", w.made, want)
	}
	w.made, w.key = nil, strings.Replace(key, "1.json", "2.json", 1)
	put(t, s, verdictBy(2, "w"))
	if want := []string{"draft", shard}; !slices.Equal(w.made, want) {
		t.Errorf("next verdict: synced %q, want %q", w.made, want)
	}
	// Another process finds the folders, but cannot know whether they are on disk.
	w, s = watch(t, folder, strings.Replace(key, "1.json", "3.json", 1))
	put(t, s, verdictBy(3, "w"))
	if !slices.Equal(w.made, first) {
		t.Errorf("another process: synced %q, want %q", w.made, first)
	}
}

func TestAFailedSyncIsNoVerdict(t *testing.T) {
	t.Parallel()
	key, _ := jsonKey(namespace, verdicts, 1)
	for fail := 1; fail <= len(first); fail++ {
		w, s := watch(t, t.TempDir(), key)
		w.fail = fail
		if _, created, err := s.PutVerdict(t.Context(), verdictBy(1, "w")); !errors.Is(err, syscall.EIO) || created {
			t.Errorf("sync %d fails: created %v, %v", fail, created, err)
		}
		_, err := s.Verdict(t.Context(), namespace, 1)
		if named := err == nil; named != (fail == len(first)) {
			t.Errorf("sync %d fails: the verdict can be read: %v (%v)", fail, named, err)
		}
		if drafts, _ := filepath.Glob(w.disk.path(namespace + "/verdicts/.tmp/*")); len(drafts) != 0 {
			t.Errorf("sync %d fails: left %v", fail, drafts)
		}
		w.fail = 0
		if recorded, created := put(t, s, verdictBy(1, "w")); !created || recorded.Software != "w" {
			t.Errorf("after sync %d failed: created %v, recorded %q", fail, created, recorded.Software)
		}
	}
}

func TestAbandonedDraftsAreSwept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, at(folder)(t), verdictBy(1, "w"))
	drafts := filepath.Join(folder, namespace, verdicts, draftsFolder)
	old, young, others := rand.Text(), rand.Text(), "notes.txt"
	for name, age := range map[string]time.Duration{old: 2 * abandonedAfter, young: abandonedAfter / 2, others: 2 * abandonedAfter} {
		writeAged(t, filepath.Join(drafts, name), age)
	}
	put(t, at(folder)(t), verdictBy(2, "w"))
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
	err := os.WriteFile(path, []byte("half a verd"), 0o444)
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
	put(t, at(folder)(t), verdictBy(1, "w"))
	key, _ := jsonKey(namespace, verdicts, 1)
	info, err := os.Stat(filepath.Join(folder, key))
	if err != nil || info.Mode().Perm()&0o222 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
