package localdisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// Bucket opens a folder as a bucket. Keys are paths below it, as they are: those that are no path,
// such as "a//b" or "../a", are refused.
//
// It stands for gocloud's fileblob, which follows links, waits for named pipes, lists what it may
// not read as if it were empty, takes "a__0x2f__b" for a key with a slash, and walks everything
// below a prefix for every page. Objects have neither metadata nor checksums. They are replaced
// atomically, and IfNotExist is atomic, too; nothing is synced.
func Bucket(folder string) *blob.Bucket { return blob.NewBucket(&bucket{folder}) }

// bucket opens its folder anew for each request: a volume that is held open could not be unmounted,
// nor would one mounted in its place be seen.
type bucket struct{ folder string }

var (
	errKey    = errors.New("not the key of an object on local disk")
	errExists = errors.New("the object exists")
)

// split returns the folder and the name of a key.
func split(key string) (folder, name string, err error) {
	if !fs.ValidPath(key) || key == "." {
		return "", "", fmt.Errorf("%q is %w", key, errKey)
	}
	folder, name = path.Split(key)
	return strings.TrimSuffix(folder, "/"), name, nil
}

// in calls do with the folder of a key.
func (b *bucket) in(ctx context.Context, key string, do func(f *Folder, name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := Open(b.folder)
	if err != nil {
		return err
	}
	defer root.Close()
	folder, name, err := split(key)
	if err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrNotExist) // nothing can be there
	}
	f, err := root.Folder(folder)
	if errors.Is(err, syscall.ENOTDIR) { // an object's key is no folder
		err = &fs.PathError{Op: "open", Path: root.Path(key), Err: fs.ErrNotExist}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f, name)
}

// Attributes returns what is known of an object.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	var info fs.FileInfo
	err := b.in(ctx, key, func(f *Folder, name string) (err error) {
		info, err = f.regular(name)
		return noObject(err)
	})
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{
		ContentType: contentType, ModTime: info.ModTime(), Size: info.Size(),
		ETag: fmt.Sprintf("\"%x-%x\"", info.ModTime().UnixNano(), info.Size()),
	}, nil
}

const contentType = "application/octet-stream"

// noObject says of a folder that there is no object of its name.
func noObject(err error) error {
	if odd, ok := errors.AsType[*NotPlainError](err); ok && odd.Type.IsDir() {
		return &fs.PathError{Op: "open", Path: odd.Path, Err: fs.ErrNotExist}
	}
	return err
}

// NewRangeReader opens an object.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	r := &reader{ctx: ctx}
	err := b.in(ctx, key, func(f *Folder, name string) error {
		file, info, err := f.Open(name)
		if err != nil {
			return noObject(err)
		}
		r.file = file
		r.attributes = driver.ReaderAttributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if o.BeforeRead != nil {
		err = o.BeforeRead(func(any) bool { return false })
	}
	if err == nil && offset > 0 {
		_, err = r.file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		_ = r.file.Close()
		return nil, err
	}
	r.r = r.file
	if length >= 0 {
		r.r = io.LimitReader(r.file, length)
	}
	return r, nil
}

type reader struct {
	ctx        context.Context
	file       *os.File
	r          io.Reader
	attributes driver.ReaderAttributes
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (r *reader) Close() error                         { return r.file.Close() }
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attributes }
func (r *reader) As(any) bool                          { return false }

// Delete removes an object. The folders that it was in stay.
func (b *bucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if o.BeforeDelete != nil {
		if err := o.BeforeDelete(func(any) bool { return false }); err != nil {
			return err
		}
	}
	return b.in(ctx, key, func(f *Folder, name string) error {
		return noObject(f.Remove(name))
	})
}

// NewTypedWriter starts an object in a file of another name, which becomes the object's when the
// writer is closed. That file is in the bucket's own folder: beside the object it would be listed
// with it.
func (b *bucket) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	folder, _, err := split(key)
	if err = errors.Join(ctx.Err(), err); err != nil {
		return nil, err
	}
	root, err := Open(b.folder)
	if err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, root: root, name: temporary + DraftName(), key: key, once: o.IfNotExist}
	if o.BeforeWrite != nil {
		err = o.BeforeWrite(func(any) bool { return false })
	}
	if err == nil {
		err = makeAll(root, folder)
	}
	if err == nil {
		w.File, err = root.Create(w.name, 0o666)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return w, nil
}

// temporary is what names of unfinished objects begin with. No listing has them.
const temporary = ".ktaudit-writing-"

// makeAll makes a folder below another, with what is between them.
func makeAll(root *Folder, folder string) error {
	if folder == "" {
		return nil
	}
	at, err := root.Folder("")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(folder, "/") {
		var next *Folder
		if _, err = at.Make(name); err == nil {
			next, err = at.child(name)
		}
		at.Close()
		if err != nil {
			return err
		}
		at = next
	}
	at.Close()
	return nil
}

type writer struct {
	*os.File
	ctx       context.Context
	root      *Folder
	name, key string
	once      bool // the key must not be taken
}

// Write writes as long as the context allows.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.File.Write(p)
}

// Close gives the object its key, unless the context has ended.
func (w *writer) Close() error {
	defer w.root.Close()
	info, err := w.Stat()
	err = errors.Join(err, w.File.Close(), w.ctx.Err())
	if err == nil && w.once {
		err = w.root.Link(w.name, w.key, info)
	} else if err == nil {
		err = w.root.Rename(w.name, w.key, info)
	}
	if err != nil || w.once {
		_ = w.root.Remove(w.name)
	}
	if w.once && errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", w.key, errExists)
	}
	return contextError(w.ctx, err)
}

// contextError returns the context's own error for one that is due to it.
func contextError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Copy copies an object.
func (b *bucket) Copy(ctx context.Context, to, from string, o *driver.CopyOptions) error {
	r, err := b.NewRangeReader(ctx, from, 0, -1, &driver.ReaderOptions{})
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.NewTypedWriter(ctx, to, "", &driver.WriterOptions{BeforeWrite: o.BeforeCopy})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel() // so that closing it takes it back
		_ = w.Close()
		return err
	}
	return w.Close()
}

// SignedURL says that there are none.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}

func (b *bucket) As(any) bool { return false }

// ErrorAs has nothing to add: errors.As finds the errors of this package and of os.
func (b *bucket) ErrorAs(error, any) bool { return false }

// ErrorCode says NotFound only of what is not there; what is in its place and cannot be read is
// another matter.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gcerrors.NotFound
	case errors.Is(err, errExists):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errKey), errors.Is(err, fs.ErrInvalid), errors.Is(err, syscall.ENAMETOOLONG):
		return gcerrors.InvalidArgument
	case errors.Is(err, fs.ErrPermission):
		return gcerrors.PermissionDenied
	case errors.Is(err, errors.ErrUnsupported):
		return gcerrors.Unimplemented
	case errors.Is(err, context.Canceled):
		return gcerrors.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return gcerrors.DeadlineExceeded
	}
	return gcerrors.Unknown
}

func (b *bucket) Close() error { return nil }
