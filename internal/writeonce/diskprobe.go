package writeonce

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ktaudit/ktaudit/internal/localdisk"
)

// TryWrite does in a folder of its own, which it removes, what creating an object does: a draft in
// one folder is brought to the disk and linked to its name in another. A name that is taken must
// stay as it is.
func (d *Disk) TryWrite(context.Context) error {
	folder, err := os.MkdirTemp(d.root, ".ktaudit-*")
	if err != nil {
		return err
	}
	return errors.Join(d.tryIn(folder), os.RemoveAll(folder))
}

func (d *Disk) tryIn(folder string) error {
	draft, object := filepath.Join(folder, "drafts", "draft"), filepath.Join(folder, "objects", "object")
	for _, path := range []string{draft, object} {
		if err := os.Mkdir(filepath.Dir(path), 0o777); err != nil {
			return err
		}
	}
	if err := d.writeSynced(draft, probe); err != nil {
		return err
	}
	if err := os.Link(draft, object); err != nil {
		return d.linkError(err)
	}
	if err := os.Link(draft, object); !errors.Is(err, fs.ErrExist) {
		return d.unfit("lets a name that is taken be taken again", err)
	}
	if data, err := os.ReadFile(object); err != nil || !bytes.Equal(data, probe) {
		return fmt.Errorf("%s was just written, and reads as %.100q: %w", object, data, cmp.Or(err, errNotSame))
	}
	return nil
}

var errNotSame = errors.New("the file system does not return what was written")

func (d *Disk) writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		return err
	}
	err = d.maker.Sync(file)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return d.unfit("cannot bring files to its disk", err)
	}
	return err
}

// linkError says what it means that an object could not be given its name. AFS links within one
// folder only; what has no links at all has many words for that.
func (d *Disk) linkError(err error) error {
	for _, never := range []error{syscall.EPERM, syscall.EXDEV, syscall.EMLINK, errors.ErrUnsupported} {
		if errors.Is(err, never) {
			return d.unfit("has no hard links, by which verdicts are created only once", err)
		}
	}
	return err
}

func (d *Disk) unfit(what string, err error) error {
	kind, _ := localdisk.FileSystem(d.root)
	if kind == "" {
		kind = "of an unknown kind"
	}
	return fmt.Errorf("%w: the file system of %s (%s) %s; use a folder on ext4, XFS, APFS or NTFS, or a bucket (%v)",
		ErrUnfit, d.root, kind, what, err)
}

// NetworkDisk returns the kind of file system if the folder is on another machine's disk.
func (d *Disk) NetworkDisk() string {
	if kind, network := localdisk.FileSystem(d.root); network {
		return kind
	}
	return ""
}
