package localdisk

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Maker makes folders that outlast a power failure. The folders that it is used on have the same
// root, which their paths are relative to.
type Maker struct {
	// Sync brings a file or folder to the disk: (*os.File).Sync outside tests.
	Sync func(*os.File) error

	durable sync.Map // paths of folders whose entry in their parent is known to be on disk
}

// Make makes a folder below another, whose path is given, with what is between them. A folder that
// another process has made may not be on disk yet, so that finding it there is not enough.
func (m *Maker) Make(in *Folder, inPath, below string) (*Folder, error) {
	if below == "." {
		return in.Folder("")
	}
	at := in
	for name := range strings.SplitSeq(below, "/") {
		inPath = path.Join(inPath, name)
		next, err := m.makeOne(at, name, inPath)
		if at != in {
			at.Close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func (m *Maker) makeOne(in *Folder, name, path string) (*Folder, error) {
	if _, known := m.durable.Load(path); known {
		if folder, err := in.child(name); !errors.Is(err, fs.ErrNotExist) {
			return folder, err
		}
		m.durable.Delete(path) // before it is there again, and others find it
	}
	if _, err := in.Make(name); err != nil {
		return nil, err
	}
	if err := in.Sync(m.Sync); err != nil {
		return nil, err
	}
	m.durable.Store(path, true)
	return in.child(name)
}

// draftName matches what DraftName returns.
var draftName = regexp.MustCompile(`^[A-Z2-7]{26,}$`)

// DraftName returns a name for an unfinished file that no other has.
func DraftName() string { return rand.Text() }

// SweepDrafts removes the regular files of a folder that DraftName has named and nobody has written
// to for some time. What it cannot remove it leaves.
func (f *Folder) SweepDrafts(age time.Duration) {
	entries, _ := f.Entries()
	for _, e := range entries {
		if !draftName.MatchString(e.Name()) {
			continue
		}
		info, err := f.Stat(e.Name())
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > age {
			_ = f.Remove(e.Name())
		}
	}
}
