package writeonce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/localdisk"
)

const (
	// draftsFolder holds unfinished objects, one such folder for each kind of object. No key has a
	// part with a leading dot.
	draftsFolder = ".tmp"
	// abandonedAfter is when a draft nobody writes to any more counts as left behind by a process
	// that died. Should its writer be alive after all, its commit fails, and the job is run again.
	abandonedAfter = time.Hour
)

// Disk keeps objects in a folder of the local file system. gocloud's own driver will not do: its
// IfNotExist is a check followed by a rename, so that two writers can both win, and it never syncs.
//
// Below the root no link is followed and only regular files are read or removed: see package
// localdisk.
type Disk struct {
	root   string // exists
	prefix string // of all keys; empty or ending in "/"

	maker   localdisk.Maker
	cleaned sync.Map // paths of folders whose drafts were cleaned of abandoned ones
}

// NewDisk takes a folder that is there.
func NewDisk(f blobstore.Folder) (*Disk, error) {
	root, err := filepath.Abs(f.Path)
	return &Disk{root: root, prefix: f.Prefix, maker: localdisk.Maker{Sync: (*os.File).Sync}}, err
}

func (d *Disk) Put(ctx context.Context, key string, data []byte) error {
	w, err := d.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		w.Abort()
		return err
	}
	return w.Commit()
}

// Mark creates the file under its name: without bytes it needs no draft, which keeps a name from
// having less than the whole object. What is left to bring to the disk is the name, and that is
// synced also where somebody else has made it.
func (d *Disk) Mark(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := localdisk.Open(d.root)
	if err != nil {
		return err
	}
	defer root.Close()
	folder, err := d.maker.Make(root, "", d.prefix+path.Dir(key))
	if err != nil {
		return err
	}
	defer folder.Close()
	file, result := folder.Create(path.Base(key), 0o444)
	switch {
	case result == nil:
		_ = file.Close()
	case errors.Is(result, fs.ErrExist):
		result = ErrExists
	default:
		return result
	}
	if err := folder.Sync(d.maker.Sync); err != nil {
		return err
	}
	return result
}

// Replace gives the new object the name of the old one in one step. A power failure leaves either.
func (d *Disk) Replace(ctx context.Context, key string, data []byte) error {
	w, err := d.create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		w.Abort()
		return err
	}
	return w.commit(w.kind.Rename)
}

func (d *Disk) Create(ctx context.Context, key string) (Draft, error) {
	w, err := d.create(ctx, key)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (d *Disk) create(ctx context.Context, key string) (*diskDraft, error) {
	namespace, rest, _ := strings.Cut(key, "/")
	kind, final, _ := strings.Cut(rest, "/")
	w := &diskDraft{ctx: ctx, disk: d, kindPath: d.prefix + namespace + "/" + kind, final: final, name: localdisk.DraftName()}
	root, err := localdisk.Open(d.root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if w.kind, err = d.maker.Make(root, "", w.kindPath); err != nil {
		return nil, err
	}
	if w.drafts, err = d.maker.Make(w.kind, w.kindPath, draftsFolder); err != nil {
		w.kind.Close()
		return nil, err
	}
	if _, done := d.cleaned.LoadOrStore(w.kindPath, true); !done {
		// The drafts of processes that died, and nothing else: no link led to the folder.
		w.drafts.SweepDrafts(abandonedAfter)
	}
	// Read-only for whoever edits by hand; the descriptor may be written to all the same.
	if w.File, err = w.drafts.Create(w.name, 0o444); err != nil {
		w.closeFolders()
		return nil, err
	}
	return w, nil
}

// diskDraft is a file nobody looks at until it is linked to its final name.
type diskDraft struct {
	*os.File
	ctx  context.Context
	disk *Disk

	kind, drafts *localdisk.Folder // of the namespace, and the folder of drafts in it
	kindPath     string            // from the root
	name, final  string            // in drafts, and from kind
}

// Commit gives the draft its final name.
//
// A crash or a power failure before the link leaves at most an abandoned draft, which is swept
// later, and the epoch is audited again. The link is the commit point: it is atomic, it fails if
// the name is taken, and the bytes under it were synced before, so no name ever has less than the
// whole object. After the link, until the folder is synced, a power failure may still take the name
// away, and then the epoch is audited again; nobody was told of success before. That is also why
// the loser of a race syncs the folder: it is about to report the winner's object as being on
// record. A draft that is left linked is a second name of the same file and is swept with the
// others.
func (w *diskDraft) Commit() error { return w.commit(w.kind.Link) }

// commit gives the draft its final name by move.
func (w *diskDraft) commit(move func(from, to string, file fs.FileInfo) error) error {
	info, folder, err := w.makeDurable()
	if err != nil {
		w.Abort()
		return err
	}
	defer folder.Close()
	defer w.closeFolders()
	result := move(draftsFolder+"/"+w.name, w.final, info)
	_ = w.drafts.Remove(w.name) // if this fails, it is swept later
	switch {
	case errors.Is(result, fs.ErrExist):
		result = ErrExists
	case result != nil:
		return w.disk.linkError(result)
	}
	if err := folder.Sync(w.disk.maker.Sync); err != nil {
		return err
	}
	return result
}

// makeDurable brings the draft's bytes, and the folder it is to go to, to the disk. It returns what
// the draft is, and that folder.
func (w *diskDraft) makeDurable() (fs.FileInfo, *localdisk.Folder, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, nil, err
	}
	info, err := w.Stat()
	if err != nil {
		return nil, nil, err
	}
	if err := w.disk.maker.Sync(w.File); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	folder, err := w.disk.maker.Make(w.kind, w.kindPath, path.Dir(w.final))
	return info, folder, err
}

func (w *diskDraft) Abort() {
	_ = w.Close()
	_ = w.drafts.Remove(w.name)
	w.closeFolders()
}

func (w *diskDraft) closeFolders() {
	w.drafts.Close()
	w.kind.Close()
}

func (d *Disk) Open(_ context.Context, key string) (io.ReadCloser, int64, error) {
	folder, err := d.folder(path.Dir(key))
	if err != nil {
		return nil, 0, d.notFound(key, err)
	}
	defer folder.Close()
	f, info, err := folder.Open(path.Base(key))
	if odd, ok := errors.AsType[*localdisk.NotPlainError](err); ok {
		return nil, 0, &NotAnObjectError{odd}
	}
	if err != nil {
		return nil, 0, d.notFound(key, err)
	}
	return f, info.Size(), nil
}

// notFound turns fs.ErrNotExist into ErrNotFound where it means that.
func (d *Disk) notFound(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(d.rootThere(), fmt.Errorf("%s: %w", key, ErrNotFound))
	}
	return err
}

// folder opens the folder of a prefix. The root is opened anew each time: a volume that is held
// open could not be unmounted, nor would one mounted in its place be seen.
func (d *Disk) folder(prefix string) (*localdisk.Folder, error) {
	root, err := localdisk.Open(d.root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Folder(strings.TrimSuffix(d.prefix+prefix, "/"))
}

// List reads one folder. gocloud's driver walks everything below it, once for every thousand keys.
//
// What is neither file nor folder is listed as both: whoever expects either of them opens it, and
// is told. Left out, a shard behind a link would be missed by nobody.
func (d *Disk) List(_ context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		folder, entries, err := d.readDir(prefix)
		if err != nil {
			yield("", err)
			return
		}
		folder.Close()
		for _, e := range entries {
			if name := e.Name(); !e.IsDir() && name > after && !yield(name, nil) {
				return
			}
			if name := e.Name() + "/"; !e.Type().IsRegular() && name > after && !yield(name, nil) {
				return
			}
		}
	}
}

func (d *Disk) Entries(_ context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		folder, files, err := d.readDir(prefix)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer folder.Close()
		for _, f := range files {
			info, err := folder.Stat(f.Name())
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				continue // removed meanwhile, or no object
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(Entry{f.Name(), info.Size(), info.ModTime()}, nil) {
				return
			}
		}
	}
}

func (d *Disk) Remove(_ context.Context, key string) error {
	folder, err := d.folder(path.Dir(key))
	if err == nil {
		defer folder.Close()
		err = folder.Remove(path.Base(key))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readDir returns the folder of a prefix, to be closed, and what is in it, in order; or nothing.
func (d *Disk) readDir(prefix string) (*localdisk.Folder, []fs.DirEntry, error) {
	folder, err := d.folder(prefix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, d.rootThere()
	}
	if err != nil {
		return nil, nil, err
	}
	entries, err := folder.Entries()
	if err != nil {
		folder.Close()
	}
	return folder, entries, err
}

// rootThere returns an error if the root has gone, as when a volume was unmounted: then nothing
// follows from what is not there.
func (d *Disk) rootThere() error {
	_, err := os.Stat(d.root)
	return err
}

func (d *Disk) Ping(context.Context) error {
	info, err := os.Stat(d.root)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", d.root)
	}
	return err
}

func (d *Disk) Close() error { return nil }
