package blobstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
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
	f, err := os.Open(l.folder)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("folder %s does not exist: if it is a new one, make it, or name it as %s", l.folder, l.createURL())
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is a file: a bucket on local disk is a folder", l.folder)
	}
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
	return SyncFolder(parent, (*os.File).Sync)
}

// SyncFolder brings the names in a folder to the disk, by sync, which is (*os.File).Sync outside
// tests.
func SyncFolder(folder string, sync func(*os.File) error) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	// EINVAL comes from file systems on which folders cannot be synced; they keep their names safe
	// in their own way.
	if err := sync(f); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
