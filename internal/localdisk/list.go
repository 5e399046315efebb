package localdisk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"gocloud.dev/blob/driver"
)

const defaultPageSize = 1000

// heldEntries is how many entries of a folder are held at a time, or one page of them if that is
// more.
const heldEntries = 10_000

// errFull ends a walk that has a page.
var errFull = errors.New("page is full")

// ListPaged lists the regular files below the folder that the prefix names. Of that it reads only
// the folders that may hold what it returns.
//
// What is neither file nor folder is an error, if it might stand for an object that is asked for.
// Left out, what the log put there would be missed by nobody, and as an object it would be a batch
// beside others, though nobody can say what it holds. A folder that may not be read is an error,
// too.
func (b *bucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if o.BeforeList != nil {
		if err := o.BeforeList(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	root, err := Open(b.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	l := &listing{ctx: ctx, o: o, after: string(o.PageToken), size: o.PageSize}
	if l.size == 0 {
		l.size = defaultPageSize
	}
	top := ""
	if i := strings.LastIndexByte(o.Prefix, '/'); i >= 0 {
		top = o.Prefix[:i]
	}
	if top != "" && (!fs.ValidPath(top) || strings.Contains(top, "\x00")) {
		return &driver.ListPage{}, nil // no key begins so
	}
	folder, err := root.Folder(top)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		return &driver.ListPage{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if top != "" {
		top += "/"
	}
	if err := l.walk(folder, top); err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	return &l.page, nil
}

// listing is a page in the making.
type listing struct {
	ctx   context.Context
	o     *driver.ListOptions
	after string // the last key of the page before
	size  int
	page  driver.ListPage
}

// walk adds what is in a folder, whose keys begin with at, in the order of the keys.
func (l *listing) walk(folder *Folder, at string) error {
	for last := ""; ; {
		entries, more, err := l.entries(folder, at, last)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := l.add(folder, e.key, e.DirEntry); err != nil {
				return err
			}
			last = e.key
		}
		if !more {
			return nil
		}
	}
}

// keyed is what is in a folder, with the key of an object or the prefix of a folder's.
type keyed struct {
	fs.DirEntry
	key string
}

// entries returns the first of a folder's entries behind a key, in the order of the keys, and
// whether there are more. It holds few of them, however many there are.
func (l *listing) entries(folder *Folder, at, last string) (first []keyed, more bool, err error) {
	self, err := folder.self()
	if err != nil {
		return nil, false, err
	}
	defer self.Close()
	most := max(l.size, heldEntries) + 1
	sort := func() {
		slices.SortFunc(first, func(a, b keyed) int { return strings.Compare(a.key, b.key) }) // "a-b" comes before "a/"
		if len(first) > most {
			clear(first[most:])
			first, more = first[:most], true
		}
	}
	for {
		if err := l.ctx.Err(); err != nil {
			return nil, false, err
		}
		some, err := self.ReadDir(1000)
		for _, e := range some {
			if at == "" && strings.HasPrefix(e.Name(), temporary) && e.Type().IsRegular() {
				continue
			}
			key := at + e.Name()
			if e.IsDir() {
				key += "/"
			}
			if key > last && (!more || key < first[most-1].key) && l.mayHold(key) {
				first = append(first, keyed{e, key})
			}
		}
		if len(first) >= 2*most {
			sort()
		}
		if err == io.EOF {
			sort()
			return first, more, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// mayHold reports whether an entry is, or may have in it, what the page is of.
func (l *listing) mayHold(key string) bool {
	return strings.HasPrefix(key, l.o.Prefix) && (key > l.after || strings.HasPrefix(l.after, key))
}

// add adds an entry, or what is in it.
func (l *listing) add(folder *Folder, key string, e fs.DirEntry) error {
	if !strings.HasPrefix(key, l.o.Prefix) || l.collapses(key) {
		return nil
	}
	if e.IsDir() {
		// The page before may have ended in it, or after it.
		if key <= l.after && !strings.HasPrefix(l.after, key) {
			return nil
		}
		child, err := folder.child(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		defer child.Close()
		return l.walk(child, key)
	}
	if !e.Type().IsRegular() {
		return &NotPlainError{folder.Path(e.Name()), e.Type()}
	}
	object := &driver.ListObject{Key: key}
	if i := l.delimiter(key); i >= 0 {
		object.Key, object.IsDir = key[:i], true
	}
	if object.Key <= l.after {
		return nil
	}
	if len(l.page.Objects) == l.size {
		l.page.NextPageToken = []byte(l.page.Objects[l.size-1].Key)
		return errFull
	}
	if !object.IsDir {
		info, err := folder.Stat(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		object.ModTime, object.Size = info.ModTime(), info.Size()
	}
	l.page.Objects = append(l.page.Objects, object)
	return nil
}

// delimiter returns where what stands for all keys with the same beginning ends in a key, or -1.
func (l *listing) delimiter(key string) int {
	if l.o.Delimiter == "" {
		return -1
	}
	i := strings.Index(key[len(l.o.Prefix):], l.o.Delimiter)
	if i < 0 {
		return -1
	}
	return len(l.o.Prefix) + i + len(l.o.Delimiter)
}

// collapses reports whether an entry is within what is already listed as one.
func (l *listing) collapses(key string) bool {
	n := len(l.page.Objects)
	if n > 0 && l.page.Objects[n-1].IsDir && strings.HasPrefix(key, l.page.Objects[n-1].Key) {
		return key != l.page.Objects[n-1].Key
	}
	return l.o.Delimiter != "" && strings.HasSuffix(l.after, l.o.Delimiter) && strings.HasPrefix(key, l.after)
}
