// Package localdisk reaches files below a folder of the local disk, one part of a path at a time,
// and follows no symbolic link on the way.
//
// A folder that ktaudit reads is written by others. A link in it could make ktaudit read, replace
// or remove files elsewhere, and opening a named pipe blocks for ever. Package os has [os.Root]
// against links that lead out of a folder; this package also refuses those that stay within it, and
// whatever is neither a regular file nor a folder. The folder itself, and those above it, may be
// reached by links: whoever names it has chosen them.
//
// Nothing can be exchanged between a check and what follows it. A folder is looked at, opened, and
// compared with what was looked at; it cannot block, and what is open stays the same folder
// whatever its name means later. A file likewise. Hard links are files like any other and cannot be
// told apart.
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
	root *os.Root
	path string
}

// Open opens a folder, through links if need be.
func Open(name string) (*Folder, error) {
	// OpenRoot would wait for a named pipe's other end.
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Folder{root, name}, nil
}

// Close closes the folder, if it is not nil.
func (f *Folder) Close() {
	if f != nil {
		_ = f.root.Close()
	}
}

// Path returns the path of the folder, or of what is below it.
func (f *Folder) Path(below string) string { return filepath.Join(f.path, filepath.FromSlash(below)) }

// Folder opens the folder at a path below f, or f again for an empty path.
func (f *Folder) Folder(path string) (*Folder, error) {
	if path == "" {
		root, err := f.root.OpenRoot(".")
		if err != nil {
			return nil, f.named(err, "")
		}
		return &Folder{root, f.path}, nil
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

func (f *Folder) child(name string) (*Folder, error) {
	before, err := f.Stat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		if before.Mode().IsRegular() {
			return nil, &fs.PathError{Op: "open", Path: f.Path(name), Err: syscall.ENOTDIR}
		}
		return nil, &NotPlainError{f.Path(name), before.Mode().Type()}
	}
	// With the dot, what has become a named pipe meanwhile is refused and not waited for.
	root, err := f.root.OpenRoot(name + "/.")
	if err != nil {
		return nil, f.named(err, name)
	}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(before, opened) {
		err = fmt.Errorf("%s was exchanged while it was opened", f.Path(name))
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return &Folder{root, f.Path(name)}, nil
}

// Stat returns what an entry is. It does not follow links.
func (f *Folder) Stat(name string) (fs.FileInfo, error) {
	if err := checkName(name); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.path, Err: err}
	}
	info, err := f.root.Lstat(name)
	return info, f.named(err, name)
}

// Open opens a regular file for reading. It does not wait for anything.
func (f *Folder) Open(name string) (*os.File, fs.FileInfo, error) {
	before, err := f.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, &NotPlainError{f.Path(name), before.Mode().Type()}
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, f.named(err, name)
	}
	info, err := file.Stat()
	if err == nil && !os.SameFile(before, info) {
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
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	return file, f.named(err, name)
}

// Make makes a folder, and reports whether it was not there before.
func (f *Folder) Make(name string) (made bool, err error) {
	if err := checkName(name); err != nil {
		return false, &fs.PathError{Op: "mkdir", Path: f.path, Err: err}
	}
	err = f.root.Mkdir(name, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, f.named(err, name)
}

// Remove removes a regular file; anything else stays and is an error.
func (f *Folder) Remove(name string) error {
	info, err := f.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &NotPlainError{f.Path(name), info.Mode().Type()}
	}
	return f.named(f.root.Remove(name), name)
}

// Link gives a file below f a second name, which must not be taken; Rename gives it another, which
// may be. Both names are paths, whose folders are there. The file is one that the caller has
// created: it is an error if another one has the new name afterwards, as when a folder of either
// path was exchanged for a link.
func (f *Folder) Link(from, to string, file fs.FileInfo) error {
	return f.move(f.root.Link, from, to, file)
}

// Rename is described at Link.
func (f *Folder) Rename(from, to string, file fs.FileInfo) error {
	return f.move(f.root.Rename, from, to, file)
}

func (f *Folder) move(move func(from, to string) error, from, to string, file fs.FileInfo) error {
	dir, name := path.Split(to)
	folder, err := f.Folder(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := move(from, to); err != nil {
		return err
	}
	on, err := folder.Stat(name)
	if err == nil && !os.SameFile(on, file) {
		err = fmt.Errorf("%s was exchanged while it was written", f.Path(to))
	}
	return err
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

// self opens the folder as a file. One that os.Root opens looks at each entry when it is listed,
// which takes four times as long as the listing; so it is opened by its path, if that still leads
// to the folder.
func (f *Folder) self() (*os.File, error) {
	own, err := f.root.Stat(".")
	if err != nil {
		return nil, f.named(err, "")
	}
	if file, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
		if info, err := file.Stat(); err == nil && os.SameFile(own, info) {
			return file, nil
		}
		_ = file.Close()
	}
	file, err := f.root.Open(".")
	return file, f.named(err, "")
}

// Sync brings the names in the folder to the disk, by sync, which is (*os.File).Sync outside tests.
func (f *Folder) Sync(sync func(*os.File) error) error {
	self, err := f.root.Open(".")
	if err != nil {
		return f.named(err, "")
	}
	defer self.Close()
	// EINVAL comes from file systems on which folders cannot be synced; they keep their names safe
	// in their own way.
	if err := sync(self); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// named puts the whole path into an error of os.Root, which knows only the name.
func (f *Folder) named(err error, name string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: strings.TrimSuffix(e.Op, "at"), Path: f.Path(name), Err: e.Err}
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
