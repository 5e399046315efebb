package auditstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

func archivesAreListedByShard(t *testing.T, open opener) {
	s := open(t)
	began := time.Now()
	want := map[uint64][]Archived{
		0:           {{Epoch: 1}, {Epoch: 1, Extension: ".zst", Size: 5}, {Epoch: 999, Extension: ".gz", Size: 3}},
		722:         {{Epoch: 722_606, Extension: ".s2", Size: 200_000}},
		999_999_999: {{Epoch: verdict.MaxEpoch, Size: 1}},
	}
	for _, shard := range want {
		for _, a := range shard {
			must(t, archive(t.Context(), s, a.Epoch, a.Extension, make([]byte, a.Size)))
		}
	}
	put(t, s, verdictBy(5000, "w"))
	for _, key := range []string{"000000000/000000000002.bz2", "000000000/000000000002.zst.bak", "000000000/2", "000000000/00000000000x",
		"000000000/000000001000", "000000000/000000000003/x", "README", "1/000000001000", "clock/x"} {
		must(t, s.objects.Put(t.Context(), namespace+"/archive/"+key, []byte("x")))
	}
	for shard, archives := range want {
		got, err := open(t).Archives(t.Context(), namespace, shard)
		for i, a := range got {
			// The store may have a clock of its own, that shows seconds only.
			if a.At.Before(began.Add(-2*time.Second)) || a.At.After(time.Now().Add(2*time.Second)) {
				t.Errorf("epoch %d was archived at %s, now is %s", a.Epoch, a.At, time.Now())
			}
			got[i].At = time.Time{}
		}
		if err != nil || !slices.Equal(got, archives) {
			t.Errorf("shard %d: %v, %v, want %v", shard, got, err, archives)
		}
	}
	if got, err := s.Archives(t.Context(), namespace, 2); err != nil || len(got) != 0 {
		t.Errorf("a shard without archives: %v, %v", got, err)
	}
	if got, err := s.ArchiveShards(t.Context(), namespace); err != nil || !slices.Equal(got, []uint64{0, 722, 999_999_999}) {
		t.Errorf("shards: %v, %v", got, err)
	}
	if got, err := s.ArchiveShards(t.Context(), "other"); err != nil || len(got) != 0 {
		t.Errorf("shards of a namespace without archives: %v, %v", got, err)
	}
}

func removedArchiveIsGone(t *testing.T, open opener) {
	s := open(t)
	for epoch, extension := range extensions {
		must(t, archive(t.Context(), s, uint64(epoch), extension, []byte("one")))
	}
	for range 2 {
		must(t, open(t).RemoveArchive(t.Context(), namespace, 1, ".zst"))
		must(t, s.RemoveArchive(t.Context(), namespace, 2, "")) // it has another extension
		must(t, s.RemoveArchive(t.Context(), namespace, 5000, ""))
	}
	wantNoArchive(t, s, 1)
	if got, err := s.Archives(t.Context(), namespace, 0); err != nil || len(got) != len(extensions)-1 {
		t.Errorf("left are %v, %v", got, err)
	}
	// Whoever comes late writes it again, and finds its folder.
	must(t, archive(t.Context(), s, 1, ".zst", []byte("two")))
	wantArchive(t, s, 1, namespace+"/archive/000000000/000000000001.zst", []byte("two"))
}

// contents are all objects of the namespace that a test may have written.
func contents(t *testing.T, s *Store, prefix string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, err := range s.objects.List(t.Context(), prefix, "") {
		must(t, err)
		if strings.HasSuffix(name, "/") {
			for key, data := range contents(t, s, prefix+name) {
				all[key] = data
			}
			continue
		}
		r, _, err := s.objects.Open(t.Context(), prefix+name)
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, errors.Join(err, r.Close()))
		all[prefix+name] = string(data)
	}
	return all
}

// onlyArchivesAreRemoved tries every epoch and extension, and some that are none.
func onlyArchivesAreRemoved(t *testing.T, open opener) {
	s := open(t)
	for epoch := range uint64(3) {
		put(t, s, verdictBy(epoch, "w"))
		must(t, s.PutSignature(t.Context(), namespace, epoch, []byte("signature")))
		must(t, s.PutEvidence(t.Context(), namespace, epoch, "e.json", []byte("evidence")))
	}
	before := contents(t, s, namespace+"/")
	for epoch := range uint64(3) {
		for _, extension := range extensions {
			must(t, archive(t.Context(), s, epoch, extension, []byte("batch")))
			must(t, s.RemoveArchive(t.Context(), namespace, epoch, extension))
		}
		for _, bad := range []string{".json", "/e.json", "/../../../verdicts/000000000/000000000001.json", ".zst/..", "."} {
			if err := s.RemoveArchive(t.Context(), namespace, epoch, bad); err == nil {
				t.Errorf("extension %q is accepted", bad)
			}
		}
	}
	after := contents(t, s, namespace+"/")
	if fmt.Sprint(before) != fmt.Sprint(after) || len(before) != 9 {
		t.Errorf("before:\n%v\nafter:\n%v", before, after)
	}
}

func evidencedEpochsAreListed(t *testing.T, open opener) {
	s := open(t)
	if got, err := s.EvidencedEpochs(t.Context(), namespace, 0); err != nil || len(got) != 0 {
		t.Errorf("of none: %v, %v", got, err)
	}
	for _, epoch := range []uint64{7, 3, 1000} {
		for _, name := range []string{"a.json", "b.json"} {
			must(t, s.PutEvidence(t.Context(), namespace, epoch, name, []byte("e")))
		}
	}
	if got, err := open(t).EvidencedEpochs(t.Context(), namespace, 0); err != nil || !slices.Equal(got, []uint64{3, 7}) {
		t.Errorf("%v, %v, want 3 and 7", got, err)
	}
}

func storeTellsTheTime(t *testing.T, open opener) {
	s := open(t)
	before := time.Now()
	now, err := s.Now(t.Context(), namespace)
	if err != nil || now.Before(before.Add(-2*time.Second)) || now.After(time.Now().Add(2*time.Second)) {
		t.Errorf("it is %s, %v, by the store, and %s here", now, err, before)
	}
	if left := contents(t, s, namespace+"/"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a process that died left of its question goes with the next one, an hour later.
func TestLeftClocksAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := at(dir)(t)
	for name, age := range map[string]time.Duration{"old": 2 * leftClocks, "young": leftClocks / 2} {
		key := namespace + "/archive/clock/" + name
		must(t, s.objects.Put(t.Context(), key, nil))
		modified := time.Now().Add(-age)
		must(t, os.Chtimes(filepath.Join(dir, key), modified, modified))
	}
	if _, err := s.Now(t.Context(), namespace); err != nil {
		t.Error(err)
	}
	if left := contents(t, s, namespace+"/"); len(left) != 2-1 {
		t.Errorf("left are %v, want the young one", left)
	}
}
