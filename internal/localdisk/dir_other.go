//go:build !unix

package localdisk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// dir is an open folder. Names are single names of entries.
type dir struct{ *os.Root }

// openDir opens a folder, through links if need be, and nothing else.
func openDir(name string) (dir, error) {
	if info, err := os.Stat(name); err != nil {
		return dir{}, err
	} else if !info.IsDir() {
		return dir{}, syscall.ENOTDIR
	}
	root, err := os.OpenRoot(name)
	return dir{root}, err
}

// child opens a folder in d, and follows no link.
func (d dir) child(name string) (dir, error) {
	before, err := d.Lstat(name)
	if err != nil {
		return dir{}, err
	}
	if !before.IsDir() {
		return dir{}, syscall.ENOTDIR
	}
	root, err := d.OpenRoot(name)
	if err != nil {
		return dir{}, err
	}
	if opened, err := root.Stat("."); err != nil || !os.SameFile(before, opened) {
		_ = root.Close()
		return dir{}, errors.Join(err, errors.New("it was exchanged while it was opened"))
	}
	return dir{root}, nil
}

func (d dir) open(name string, flags int, perm fs.FileMode) (*os.File, error) {
	return d.OpenFile(name, flags, perm)
}

func (d dir) close()                                 { _ = d.Close() }
func (d dir) mkdir(name string) error                { return d.Mkdir(name, 0o777) }
func (d dir) remove(name string) error               { return d.Remove(name) }
func (d dir) link(from, to place) error              { return d.Link(from.path, to.path) }
func (d dir) rename(from, to place) error            { return d.Rename(from.path, to.path) }
func (d dir) lstat(name string) (fs.FileInfo, error) { return d.Lstat(name) }
func (d dir) self() (*os.File, error)                { return d.Open(".") }

func sameFile(named, open fs.FileInfo) bool { return os.SameFile(named, open) }
