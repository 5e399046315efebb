package reload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// What the files hold is known as soon as they change; what is wrong with them is told of once, and
// the last good value stays at hand.
func TestReload(t *testing.T) {
	t.Parallel()
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	write(t, one, "a")
	write(t, two, "b")
	var failures []string
	parsed := 0
	files, err := New(func(contents [][]byte) (string, error) {
		parsed++
		text := string(contents[0]) + string(contents[1])
		if strings.Contains(text, "x") {
			return "", errors.New("an x")
		}
		return text, nil
	}, func(err error) { failures = append(failures, err.Error()) }, one, two)
	if err != nil {
		t.Fatal(err)
	}
	files.every = 0
	want := func(value, failure string) {
		t.Helper()
		for range 2 {
			got, err := files.Get()
			if got != value || (err != nil) != (failure != "") || err != nil && !strings.Contains(err.Error(), failure) {
				t.Errorf("got %q, %v, want %q, %q", got, err, value, failure)
			}
		}
	}
	want("ab", "")
	if parsed != 1 {
		t.Errorf("parsed %d times without a change", parsed)
	}
	write(t, two, "c")
	want("ac", "")
	write(t, two, "x")
	want("ac", "an x")
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	want("ac", "no such file")
	write(t, one, "d")
	write(t, two, "e")
	want("de", "")
	if len(failures) != 2 {
		t.Errorf("told of %q", failures)
	}
}

// Now has files read that look as they did: the clock of a file system may be coarse.
func TestNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "a")
	files, err := New(func(contents [][]byte) (string, error) { return string(contents[0]), nil }, nil, path)
	if err != nil {
		t.Fatal(err)
	}
	files.every = time.Hour
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, []byte("b"), 0o600), os.Chtimes(path, before.ModTime(), before.ModTime())); err != nil {
		t.Fatal(err)
	}
	if got, err := files.Get(); got != "a" || err != nil {
		t.Errorf("%q, %v: it was read again within the hour", got, err)
	}
	Now()
	if got, err := files.Get(); got != "b" || err != nil {
		t.Errorf("after Now %q, %v", got, err)
	}
}

func TestNotThereAtFirst(t *testing.T) {
	t.Parallel()
	_, err := New(func([][]byte) (int, error) { return 0, nil }, nil, filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
