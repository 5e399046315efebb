package auditstore

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob/memblob"
)

// TestFiles is what every store must do with the plain objects of a room above.
func TestFiles(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memblob.OpenBucket(nil)
		filesConform(t, func(*testing.T) *Store { return New(b) })
	})
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		filesConform(t, at(t.TempDir()))
	})
	t.Run("S3 server", func(t *testing.T) {
		t.Parallel()
		filesConform(t, at(testservers.S3(t).BucketURL("files")))
	})
	t.Run("Azure", func(t *testing.T) {
		t.Parallel()
		filesConform(t, at(testservers.Azure(t).ContainerURL("files")))
	})
	t.Run("Google", func(t *testing.T) {
		t.Parallel()
		filesConform(t, at(testservers.Google(t).BucketURL("files")))
	})
}

func filesConform(t *testing.T, open opener) {
	f := open(t).Files(namespace, "tlog")
	const tile = "verdicts/tile/0/x001/067.p/5"
	if _, err := f.Get(t.Context(), tile, 10); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file that is not there: %v", err)
	}
	recorded := make([]string, 8)
	var all sync.WaitGroup
	for i := range recorded {
		f := open(t).Files(namespace, "tlog")
		all.Go(func() {
			on, err := f.Put(t.Context(), tile, []byte{byte('a' + i)}, 1)
			if err != nil {
				t.Error(err)
			}
			recorded[i] = string(on)
		})
	}
	all.Wait()
	if got, err := f.Get(t.Context(), tile, 1); err != nil || len(slices.Compact(append(recorded, string(got)))) != 1 {
		t.Errorf("competing writers were told %q, on record is %q, %v", recorded, got, err)
	}
	if _, err := f.Put(t.Context(), "large", []byte("ab"), 1); err == nil {
		t.Error("a file over the limit is taken")
	}
	names := func(folder, after string) (all []string) {
		t.Helper()
		for name, err := range f.Names(t.Context(), folder, after) {
			must(t, err)
			all = append(all, name)
		}
		return all
	}
	for _, name := range []string{"b", "a", "c/d"} {
		_, err := f.Put(t.Context(), "list/"+name, nil, 0)
		must(t, err)
	}
	if got := names("list", ""); !slices.Equal(got, []string{"a", "b", "c/"}) {
		t.Errorf("listed is %q", got)
	}
	if got := names("list", "a"); !slices.Equal(got, []string{"b", "c/"}) {
		t.Errorf("after a is %q", got)
	}
	if got := names("", "a"); !slices.Equal(got, []string{"list/", "verdicts/"}) {
		t.Errorf("in the folder is %q", got)
	}
	for range 2 {
		must(t, f.Remove(t.Context(), "list/a"))
	}
	if got := names("list", ""); !slices.Equal(got, []string{"b", "c/"}) {
		t.Errorf("after a file was removed, %q is listed", got)
	}
	filesReplace(t, f)
	filesGoOn(t, f)
	filesCannotBeSteered(t, open(t))
}

func filesReplace(t *testing.T, f Files) {
	for _, text := range []string{"first", "a second that is longer", ""} {
		must(t, f.Replace(t.Context(), "verdicts/checkpoint", []byte(text)))
		if got, err := f.Get(t.Context(), "verdicts/checkpoint", 100); err != nil || string(got) != text {
			t.Errorf("a file replaced by %q reads %q, %v", text, got, err)
		}
	}
	if on, err := f.Put(t.Context(), "verdicts/checkpoint", []byte("x"), 1); err != nil || string(on) != "" {
		t.Errorf("a file that was replaced is created anew: %q, %v", on, err)
	}
}

func filesGoOn(t *testing.T, f Files) {
	newest := func(want uint64) {
		t.Helper()
		if got, err := f.Newest(t.Context(), "verdicts/plans"); err != nil || got != want {
			t.Errorf("the newest generation is %d, %v, want %d", got, err, want)
		}
	}
	newest(0)
	for g := uint64(1); g <= 40; g++ {
		_, err := f.Put(t.Context(), "verdicts/plans/"+GenerationName(g)+".json", nil, 0)
		must(t, err)
		newest(g)
		f.Sweep(t.Context(), "verdicts/plans", g)
	}
	n := 0
	for _, err := range f.Names(t.Context(), "verdicts/plans", "") {
		must(t, err)
		n++
	}
	if n != keptGenerations+1 {
		t.Errorf("%d generations are kept, want %d", n, keptGenerations+1)
	}
}

func filesCannotBeSteered(t *testing.T, s *Store) {
	for _, f := range []Files{
		s.Files("../x", "tlog"), s.Files(namespace, ""), s.Files(namespace, "a/b"), s.Files(namespace, verdicts), s.Files(namespace, histories),
	} {
		filesRefuse(t, f, "x")
	}
	for _, name := range []string{"", "/", "/a", "a/", "../verdicts/x", "a/../b", ".tmp/x", "a//b", strings.Repeat("a", 129)} {
		filesRefuse(t, s.Files(namespace, "tlog"), name)
	}
}

func filesRefuse(t *testing.T, f Files, name string) {
	t.Helper()
	_, put := f.Put(t.Context(), name, nil, 1)
	_, get := f.Get(t.Context(), name, 1)
	_, newest := f.Newest(t.Context(), name)
	var listed error
	for _, listed = range f.Names(t.Context(), name, "") {
		break
	}
	for i, err := range []error{put, get, newest, listed, f.Remove(t.Context(), name), f.Replace(t.Context(), name, nil)} {
		if (err == nil || errors.Is(err, ErrNotFound)) && (i != 3 || name != "") {
			t.Errorf("%q in %q: call %d gives %v", name, f.prefix, i, err)
		}
	}
}
