package auditstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"gocloud.dev/gcerrors"
)

func TestCheckWritable(t *testing.T) {
	t.Parallel()
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s := at(dir)(t)
		if err := s.CheckWritable(t.Context()); err != nil {
			t.Error(err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("it leaves %v behind, %v", entries, err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckWritable(t.Context()); err == nil || errors.Is(err, ErrReadOnly) {
			t.Errorf("a store that is gone: %v", err)
		}
	})
	for code, readOnly := range map[gcerrors.ErrorCode]bool{gcerrors.PermissionDenied: true, gcerrors.NotFound: false} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			_, s := newFaulty(func(int) *fault { return &fault{false, code} })
			if err := s.CheckWritable(t.Context()); err == nil || errors.Is(err, ErrReadOnly) != readOnly {
				t.Errorf("%v: %v", code, err)
			}
		})
	}
}

// gocloud lists a folder that cannot be read as an empty one. A symbolic link to itself cannot be
// read by anybody, root included.
func TestFolderThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("log", filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.ToSlash(dir)
	if err := blobstore.Present(url)(t.Context(), "7/"); err != nil {
		t.Errorf("nothing is there, and it says %v", err)
	}
	if err := blobstore.Present(url+"?prefix=log/")(t.Context(), "7/"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is there cannot be read, and it says %v", err)
	}
	if os.Geteuid() == 0 {
		return // who may read everything
	}
	if err := os.Mkdir(filepath.Join(dir, "7"), 0); err != nil {
		t.Fatal(err)
	}
	if err := blobstore.Present(url)(t.Context(), "7/"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("its owner may not read it, and it says %v", err)
	}
}

// Of a folder that has gone, as when a volume is unmounted, nothing follows.
func TestRootThatIsGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, present := at(dir)(t), blobstore.Present(dir)
	if err := present(t.Context(), "7/"); err != nil {
		t.Error(err)
	}
	if _, err := s.Epochs(t.Context(), namespace, 0); err != nil {
		t.Error(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := present(t.Context(), "7/"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("present: %v", err)
	}
	_, err := s.Verdict(t.Context(), namespace, 1)
	_, listErr := s.Epochs(t.Context(), namespace, 0)
	if errors.Is(err, ErrNotFound) || !errors.Is(err, os.ErrNotExist) || !errors.Is(listErr, os.ErrNotExist) {
		t.Errorf("verdict: %v; epochs: %v", err, listErr)
	}
	if blobstore.Present("s3://bucket") != nil || blobstore.Present("mem://") != nil {
		t.Error("a bucket that is no folder is asked whether its folder is there")
	}
}

// A service may refuse the probe, which exists, before it notices that its disk is full. After a
// write that went wrong it is asked in earnest, until one goes well.
func TestCheckWritableAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	full := false
	b, s := newFaulty(func(int) *fault {
		if full {
			return &fault{false, gcerrors.InvalidArgument} // what no retry mends
		}
		return nil
	})
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Fatal(err)
	}
	full = true
	if err := s.PutSignature(t.Context(), "example", 1, []byte("signed")); err == nil {
		t.Fatal("a write to a full disk goes well")
	}
	for range 2 {
		if err := s.CheckWritable(t.Context()); err == nil {
			t.Error("the full disk goes unnoticed")
		}
	}
	full = false
	written := b.writes
	for range 2 {
		if err := s.CheckWritable(t.Context()); err != nil {
			t.Errorf("there is room again: %v", err)
		}
	}
	if n := b.writes - written; n != 2 {
		t.Errorf("%d writes, want one in earnest and one that is refused", n)
	}
}
