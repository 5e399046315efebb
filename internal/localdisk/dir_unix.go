//go:build unix

package localdisk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dir is an open folder: its descriptor, and the path that it was opened by. It stands for
// [os.Root], which makes six calls of the system to open a folder below another and look at it, and
// follows links that stay below its own.
//
// Names are single names of entries. Errors are the system's own.
type dir struct {
	fd   int
	path string
}

// openDir opens a folder, through links if need be, and nothing else: with O_DIRECTORY a named pipe
// or a device is refused before it is opened.
func openDir(path string) (dir, error) {
	fd, err := openAt(unix.AT_FDCWD, path, toReach|unix.O_DIRECTORY, 0)
	return dir{fd, path}, err
}

// child opens a folder in d, and follows no link.
func (d dir) child(name string) (dir, error) {
	fd, err := openAt(d.fd, name, toReach|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	return dir{fd, d.path + "/" + name}, err
}

// close closes the folder. Closed twice, it must not close what else has got its descriptor.
func (d *dir) close() {
	_ = unix.Close(d.fd)
	d.fd = -1
}

// open opens a file in d, and follows no link.
func (d dir) open(name string, flags int, perm fs.FileMode) (*os.File, error) {
	fd, err := openAt(d.fd, name, flags|unix.O_NOFOLLOW, uint32(perm.Perm()))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.path+"/"+name), nil
}

func openAt(at int, name string, flags int, perm uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(at, name, flags|unix.O_CLOEXEC, perm)
		return err
	})
	return fd, err
}

func (d dir) mkdir(name string) error {
	return retry(func() error { return unix.Mkdirat(d.fd, name, 0o777) })
}

// remove removes what is no folder.
func (d dir) remove(name string) error {
	return retry(func() error { return unix.Unlinkat(d.fd, name, 0) })
}

// link and rename are between folders below d.
func (d dir) link(from, to place) error {
	return retry(func() error { return unix.Linkat(from.dir.fd, from.name, to.dir.fd, to.name, 0) })
}

func (d dir) rename(from, to place) error {
	return retry(func() error { return unix.Renameat(from.dir.fd, from.name, to.dir.fd, to.name) })
}

// lstat says what an entry is, and follows no link.
func (d dir) lstat(name string) (fs.FileInfo, error) {
	i := info{name: name}
	err := retry(func() error { return unix.Fstatat(d.fd, name, &i.stat, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return nil, err
	}
	return &i, nil
}

// self opens the folder as a file, to be listed or synced.
func (d dir) self() (*os.File, error) {
	fd, err := openAt(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.path), nil
}

// info is what lstat says of an entry.
type info struct {
	name string
	stat unix.Stat_t
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.stat.Size }
func (i *info) ModTime() time.Time { return time.Unix(i.stat.Mtim.Unix()) }
func (i *info) IsDir() bool        { return i.Mode().IsDir() }
func (i *info) Sys() any           { return &i.stat }

func (i *info) Mode() fs.FileMode {
	mode := fs.FileMode(i.stat.Mode & 0o777)
	switch i.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return mode
	case unix.S_IFDIR:
		return mode | fs.ModeDir
	case unix.S_IFLNK:
		return mode | fs.ModeSymlink
	case unix.S_IFIFO:
		return mode | fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return mode | fs.ModeSocket
	case unix.S_IFBLK:
		return mode | fs.ModeDevice
	case unix.S_IFCHR:
		return mode | fs.ModeDevice | fs.ModeCharDevice
	}
	return mode | fs.ModeIrregular
}

// sameFile reports whether what was said of a name by lstat, and of an open file by its Stat, is of
// the same file.
func sameFile(named, open fs.FileInfo) bool {
	i, ok := named.(*info)
	file, isStat := open.Sys().(*syscall.Stat_t)
	return ok && isStat && uint64(i.stat.Dev) == uint64(file.Dev) && i.stat.Ino == file.Ino
}

// retry calls what a signal may interrupt.
func retry(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
