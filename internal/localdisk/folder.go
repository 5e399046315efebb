// Package localdisk reaches files below a folder of the local disk, one part of a path at a time,
// and follows no symbolic link on the way.
//
// A folder that ktaudit reads is written by others. A link in it could make ktaudit read, replace
// or remove files elsewhere, and opening a named pipe blocks for ever. Package os has [os.Root]
// against links that lead out of a folder; this package also refuses those that stay within it, and
// whatever is neither a regular file nor a folder. The folder itself, and those above it, may be
// reached by links: whoever names it has chosen them.
//
// Nothing can be exchanged between a check and what follows it. The system opens a name as a folder
// that no link leads to, or not at all; it cannot block, and what is open stays the same folder
// whatever its name means later. A file is looked at, opened, and compared with what was looked at.
// Hard links are files like any other and cannot be told apart.
package localdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// NotPlainError says that something is in the place of a file or a folder that is neither. It is no
// fs.ErrNotExist.
type NotPlainError struct {
	Path string
	Type fs.FileMode // as from fs.FileMode.Type; fs.ModeDir for a folder in a file's place
}

// Error says what to do about it.
func (e *NotPlainError) Error() string {
	what, remedy := "something that is no file", "remove it"
	switch {
	case e.Type&fs.ModeSymlink != 0:
		what, remedy = "a symbolic link, which is not followed", "put there what it points to, or mount it there"
	case e.Type&fs.ModeDir != 0:
		what = "a folder in the place of a file"
	case e.Type&fs.ModeNamedPipe != 0:
		what = "a named pipe, which is not read"
	case e.Type&fs.ModeSocket != 0:
		what = "a socket, which is not read"
	case e.Type&fs.ModeDevice != 0:
		what = "a device, which is not read"
	}
	return fmt.Sprintf("%q is %s: %s", e.Path, what, remedy)
}

// Folder is an open folder. Names are those of entries, and paths have parts that are, with "/"
// between them; others are an error. Several goroutines may use it at once.
type Folder struct {
	dir  dir
	path string
}

// Open opens a folder, through links if need be.
func Open(name string) (*Folder, error) {
	d, err := openDir(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &Folder{d, name}, nil
}

// Close closes the folder, if it is not nil.
func (f *Folder) Close() {
	if f != nil {
		f.dir.close()
	}
}

// Path returns the path of the folder, or of what is below it.
func (f *Folder) Path(below string) string { return filepath.Join(f.path, filepath.FromSlash(below)) }

// Folder opens the folder at a path below f, or f again for an empty path.
func (f *Folder) Folder(path string) (*Folder, error) {
	if path == "" {
		again, err := f.dir.child(".")
		if err != nil {
			return nil, f.named("open", "", err)
		}
		return &Folder{again, f.path}, nil
	}
	at := f
	for name := range strings.SplitSeq(path, "/") {
		next, err := at.child(name)
		if at != f {
			at.Close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// child opens the folder of a name, or says what is there in its place.
func (f *Folder) child(name string) (*Folder, error) {
	if err := checkName(name); err != nil {
		return nil, &fs.PathError{Op: "open", Path: f.path, Err: err}
	}
	child, err := f.dir.child(name)
	if err == nil {
		return &Folder{child, f.Path(name)}, nil
	}
	if info, err := f.Stat(name); err == nil && info.Mode().IsRegular() {
		return nil, f.named("open", name, syscall.ENOTDIR)
	} else if err == nil && !info.IsDir() {
		return nil, &NotPlainError{f.Path(name), info.Mode().Type()}
	}
	return nil, f.named("open", name, err)
}

// Stat returns what an entry is. It does not follow links.
func (f *Folder) Stat(name string) (fs.FileInfo, error) {
	if err := checkName(name); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.path, Err: err}
	}
	info, err := f.dir.lstat(name)
	if err != nil {
		return nil, f.named("lstat", name, err)
	}
	return info, nil
}

// regular is Stat for what must be a regular file.
func (f *Folder) regular(name string) (fs.FileInfo, error) {
	info, err := f.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &NotPlainError{f.Path(name), info.Mode().Type()}
	}
	return info, err
}

// Open opens a regular file for reading. It does not wait for anything.
func (f *Folder) Open(name string) (*os.File, fs.FileInfo, error) {
	before, err := f.regular(name)
	if err != nil {
		return nil, nil, err
	}
	file, err := f.dir.open(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, f.named("open", name, err)
	}
	info, err := file.Stat()
	if err == nil && !sameFile(before, info) {
		err = fmt.Errorf("%s was exchanged while it was opened", f.Path(name))
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// Create creates a file for writing. It fails if the name is taken.
func (f *Folder) Create(name string, perm fs.FileMode) (*os.File, error) {
	if err := checkName(name); err != nil {
		return nil, &fs.PathError{Op: "create", Path: f.path, Err: err}
	}
	file, err := f.dir.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, f.named("open", name, err)
	}
	return file, nil
}

// Make makes a folder, and reports whether it was not there before.
func (f *Folder) Make(name string) (made bool, err error) {
	if err := checkName(name); err != nil {
		return false, &fs.PathError{Op: "mkdir", Path: f.path, Err: err}
	}
	err = f.dir.mkdir(name)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, f.named("mkdir", name, err)
}

// Remove removes a regular file; anything else stays and is an error.
func (f *Folder) Remove(name string) error {
	if _, err := f.regular(name); err != nil {
		return err
	}
	return f.named("remove", name, f.dir.remove(name))
}

// Link gives a file below f a second name, which must not be taken; Rename gives it another, which
// may be. Both names are paths, whose folders are there. The file is one that the caller has
// created: it is an error if another one has the new name afterwards, as when the old one was
// exchanged for another file.
func (f *Folder) Link(from, to string, file fs.FileInfo) error {
	return f.move("link", dir.link, from, to, file)
}

// Rename is described at Link.
func (f *Folder) Rename(from, to string, file fs.FileInfo) error {
	return f.move("rename", dir.rename, from, to, file)
}

// place is a name in a folder, and the path that leads to it from another folder.
type place struct {
	dir  dir
	name string
	path string
}

func (f *Folder) move(op string, move func(d dir, from, to place) error, from, to string, file fs.FileInfo) error {
	source, old, err := f.above(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, name, err := f.above(to)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := move(f.dir, place{source.dir, old, from}, place{target.dir, name, to}); err != nil {
		return &os.LinkError{Op: op, Old: f.Path(from), New: f.Path(to), Err: cause(err)}
	}
	on, err := target.Stat(name)
	if err == nil && !sameFile(on, file) {
		err = fmt.Errorf("%s was exchanged while it was written", f.Path(to))
	}
	return err
}

// above opens the folder that a path below f is in, and returns the last name of the path.
func (f *Folder) above(below string) (folder *Folder, name string, err error) {
	in, name := path.Split(below)
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	folder, err = f.Folder(strings.TrimSuffix(in, "/"))
	return folder, name, err
}

// Entries returns what is in the folder, ordered by name. To learn more of an entry use Stat.
func (f *Folder) Entries() ([]fs.DirEntry, error) {
	self, err := f.self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	entries, err := self.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// self opens the folder as a file.
func (f *Folder) self() (*os.File, error) {
	file, err := f.dir.self()
	if err != nil {
		return nil, f.named("open", "", err)
	}
	return file, nil
}

// Sync brings the names in the folder to the disk, by sync, which is (*os.File).Sync outside tests.
func (f *Folder) Sync(sync func(*os.File) error) error {
	self, err := f.self()
	if err != nil {
		return err
	}
	defer self.Close()
	// EINVAL comes from file systems on which folders cannot be synced; they keep their names safe
	// in their own way.
	if err := sync(self); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// named puts the whole path into an error of the system's about a name.
func (f *Folder) named(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return pathError(op, f.Path(name), err)
}

func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: cause(err)}
}

// cause is an error without the name and the operation that package os has put into it.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// checkName refuses what is not one name: empty, ".", "..", or with a separator or NUL in it.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !filepath.IsLocal(name) ||
		strings.ContainsRune(name, filepath.Separator) {
		return fmt.Errorf("%q is not a file's name: %w", name, fs.ErrInvalid)
	}
	return nil
}
