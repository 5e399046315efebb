package auditstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
)

const (
	// draftsFolder holds unfinished objects, one such folder for each kind of object. No key has a
	// part with a leading dot.
	draftsFolder = ".tmp"
	// abandonedAfter is when a draft nobody writes to any more counts as left behind by a process
	// that died. Should its writer be alive after all, its commit fails, and the job is run again.
	abandonedAfter = time.Hour
)

// disk keeps objects in a folder of the local file system. gocloud's own driver will not do: its
// IfNotExist is a check followed by a rename, so that two writers can both win, and it never syncs.
type disk struct {
	root   string // exists
	prefix string // of all keys; empty or ending in "/"

	sync    func(*os.File) error // (*os.File).Sync
	durable sync.Map             // folders whose entry in their parent is known to be on disk
	cleaned sync.Map             // folders of drafts that were cleaned of abandoned ones
}

// newDisk takes a folder that is there.
func newDisk(f blobstore.Folder) (*disk, error) {
	root, err := filepath.Abs(f.Path)
	return &disk{root: root, prefix: f.Prefix, sync: (*os.File).Sync}, err
}

func (d *disk) put(ctx context.Context, key string, data []byte) error {
	w, err := d.create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		w.abort()
		return err
	}
	return w.commit()
}

func (d *disk) create(ctx context.Context, key string) (draft, error) {
	namespace, rest, _ := strings.Cut(key, "/")
	kind, _, _ := strings.Cut(rest, "/")
	drafts := d.path(namespace + "/" + kind + "/" + draftsFolder)
	if err := d.makeFolder(drafts); err != nil {
		return nil, err
	}
	if _, done := d.cleaned.LoadOrStore(drafts, true); !done {
		sweep(drafts)
	}
	// Read-only for whoever edits by hand; the descriptor may be written to all the same.
	f, err := os.OpenFile(filepath.Join(drafts, rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return nil, err
	}
	return &diskDraft{File: f, ctx: ctx, disk: d, final: d.path(key)}, nil
}

// diskDraft is a file nobody looks at until it is linked to its final name.
type diskDraft struct {
	*os.File
	ctx   context.Context
	disk  *disk
	final string
}

// commit gives the draft its final name.
//
// A crash or a power failure before the link leaves at most an abandoned draft, which is swept
// later, and the epoch is audited again. The link is the commit point: it is atomic, it fails if
// the name is taken, and the bytes under it were synced before, so no name ever has less than the
// whole object. After the link, until the folder is synced, a power failure may still take the name
// away, and then the epoch is audited again; nobody was told of success before. That is also why
// the loser of a race syncs the folder: it is about to report the winner's object as being on
// record. A draft that is left linked is a second name of the same file and is swept with the
// others.
func (w *diskDraft) commit() error {
	if err := w.makeDurable(); err != nil {
		w.abort()
		return err
	}
	result := os.Link(w.Name(), w.final)
	_ = os.Remove(w.Name()) // if this fails, it is swept later
	switch {
	case errors.Is(result, fs.ErrExist):
		result = errExists
	case errors.Is(result, syscall.EPERM), errors.Is(result, errors.ErrUnsupported):
		return fmt.Errorf("the file system has no hard links, by which the audit store creates objects only once: %w", result)
	case result != nil:
		return result
	}
	if err := w.disk.syncFolder(filepath.Dir(w.final)); err != nil {
		return err
	}
	return result
}

// makeDurable brings the draft's bytes, and the folder it is to go to, to the disk.
func (w *diskDraft) makeDurable() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.disk.sync(w.File); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return w.disk.makeFolder(filepath.Dir(w.final))
}

func (w *diskDraft) abort() {
	_ = w.Close()
	_ = os.Remove(w.Name())
}

// makeFolder makes a folder below the root, with its parents, and sees to it that all of them
// outlast a power failure. A folder that another process has made may not be on disk yet, so that
// finding it there is not enough.
func (d *disk) makeFolder(folder string) error {
	if folder == d.root {
		return nil
	}
	parent := filepath.Dir(folder)
	if err := d.makeFolder(parent); err != nil {
		return err
	}
	err := os.Mkdir(folder, 0o777)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, known := d.durable.Load(folder); known && err != nil {
		return nil
	}
	if err := d.syncFolder(parent); err != nil {
		return err
	}
	d.durable.Store(folder, true)
	return nil
}

func (d *disk) syncFolder(folder string) error { return blobstore.SyncFolder(folder, d.sync) }

// sweep removes the drafts of processes that died. What it cannot remove is left for the next one.
func sweep(drafts string) {
	entries, _ := os.ReadDir(drafts)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandonedAfter {
			_ = os.Remove(filepath.Join(drafts, e.Name()))
		}
	}
}

func (d *disk) open(_ context.Context, key string) (io.ReadCloser, int64, error) {
	f, err := os.Open(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, cmp.Or(d.rootThere(), fmt.Errorf("%s: %w", key, ErrNotFound))
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.Name())
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// list reads one folder. gocloud's driver walks everything below it, once for every thousand keys.
func (d *disk) list(_ context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		entries, err := d.readDir(prefix)
		if err != nil {
			yield("", err)
			return
		}
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() {
				name += "/"
			}
			if name > after && !yield(name, nil) {
				return
			}
		}
	}
}

func (d *disk) entries(_ context.Context, prefix string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		files, err := d.readDir(prefix)
		if err != nil {
			yield(entry{}, err)
			return
		}
		for _, f := range files {
			if !f.Type().IsRegular() {
				continue
			}
			info, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				yield(entry{}, err)
				return
			}
			if !yield(entry{f.Name(), info.Size(), info.ModTime()}, nil) {
				return
			}
		}
	}
}

func (d *disk) remove(_ context.Context, key string) error {
	if err := os.Remove(d.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readDir returns what is in the folder of a prefix, in order; nothing if there is none.
func (d *disk) readDir(prefix string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(d.path(prefix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.rootThere()
	}
	return entries, err
}

// rootThere returns an error if the root has gone, as when a volume was unmounted: then nothing
// follows from what is not there.
func (d *disk) rootThere() error {
	_, err := os.Stat(d.root)
	return err
}

func (d *disk) close() error { return nil }

func (d *disk) path(key string) string {
	return filepath.Join(d.root, filepath.FromSlash(d.prefix+key))
}
