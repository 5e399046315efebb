package localdisk

import (
	"os"
	"path/filepath"
	"testing"
)

// A folder that is closed twice does not close what has been opened since.
func TestClosedTwice(t *testing.T) {
	t.Parallel()
	folder, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	folder.Close()
	var others []*Folder // one of which gets the descriptor
	for range 100 {
		other, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		others = append(others, other)
	}
	folder.Close()
	for _, other := range others {
		if _, err := other.Make("x"); err != nil {
			t.Error(err)
		}
	}
	if _, err := folder.Make("x"); err == nil {
		t.Error("a closed folder is used")
	}
}

// What an open folder is does not change with what its name leads to.
func TestOpenFolderStaysTheSame(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	folder, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if _, err := folder.Make("a"); err != nil {
		t.Fatal(err)
	}
	a, err := folder.Folder("a")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := os.Rename(filepath.Join(root, "a"), filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	file, err := a.Create("x", 0o666)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	if _, err := os.Stat(filepath.Join(root, "b", "x")); err != nil {
		t.Error(err)
	}
	if entries, err := a.Entries(); err != nil || len(entries) != 1 {
		t.Errorf("it has %v, %v", entries, err)
	}
	if err := folder.Link("b/x", "a/y", nil); err == nil {
		t.Error("a file was linked through a link")
	}
}
