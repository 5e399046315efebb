package blobstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/localdisk"
)

// Folder is a bucket on local disk.
type Folder struct {
	Path   string
	Prefix string // of all keys; empty or ending in "/"
}

// LocalFolder returns the folder that a URL or a plain path names, once it is there and can be
// listed; nil for buckets of other kinds.
func LocalFolder(url string) (*Folder, error) {
	l, err := parse(url)
	if err != nil || l.scheme != "file" {
		return nil, err
	}
	if err := l.checkFolder(); err != nil {
		return nil, err
	}
	return &Folder{l.folder, l.prefix}, nil
}

// IsReadOnly reports whether a URL names a public log, which nobody can write to.
func IsReadOnly(url string) bool {
	l, err := parse(url)
	return err == nil && l.readOnly()
}

// readOnly reports whether the bucket is a public log.
func (l *location) readOnly() bool {
	return l.scheme == s3list.SchemeHTTP || l.scheme == s3list.SchemeHTTPS
}

// checkFolder makes sure that the folder is there and can be listed: gocloud takes one that cannot
// for an empty one.
func (l *location) checkFolder() error {
	if l.createDir {
		if err := makeFolders(l.folder); err != nil {
			return err
		}
	}
	info, err := os.Stat(l.folder)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("folder %s does not exist: if it is a new one, make it, or name it as %s", l.folder, l.createURL())
	}
	if err != nil {
		return err
	}
	if !info.IsDir() { // opening a named pipe would block
		return fmt.Errorf("%s is a file: a bucket on local disk is a folder", l.folder)
	}
	f, err := os.Open(l.folder)
	if err != nil {
		return err
	}
	_ = f.Close()
	return nil
}

// makeFolders makes a folder and those above it that are missing, and sees to it that they outlast
// a power failure: the audit store vouches for nothing above its root.
func makeFolders(folder string) error {
	parent := filepath.Dir(folder)
	if _, err := os.Stat(folder); err == nil || parent == folder {
		return err
	}
	if err := makeFolders(parent); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	above, err := localdisk.Open(parent)
	if err != nil {
		return err
	}
	defer above.Close()
	return above.Sync((*os.File).Sync)
}
