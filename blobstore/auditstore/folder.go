package auditstore

import (
	"bytes"
	"context"
	"iter"
)

// Folder is a folder of a namespace's for a room that keeps objects of its own in the audit store:
// small, created once, in JSON. To write, its name must be none that this package's layout has.
type Folder struct{ records }

// Folder returns a folder of a namespace's. It need not exist.
func (s *Store) Folder(namespace, name string) Folder { return Folder{records{s, namespace, name}} }

// Put creates an object of at most MaxNoticeBytes, and returns the bytes on record: the caller's,
// or those that were there before, which stay. The parts are those of the object's path in the
// folder.
func (f Folder) Put(ctx context.Context, data []byte, parts ...string) (recorded []byte, err error) {
	created, err := f.create(ctx, data, parts...)
	if err != nil || created {
		return bytes.Clone(data), err
	}
	return f.Get(ctx, parts...)
}

// Get returns an object's bytes; ErrNotFound if there is none.
func (f Folder) Get(ctx context.Context, parts ...string) ([]byte, error) {
	return f.read(ctx, parts...)
}

// Names yields what stands directly in a folder after a name, in order, as it is listed: names of
// objects end in ".json", those of folders in "/".
func (f Folder) Names(ctx context.Context, after string, parts ...string) iter.Seq2[string, error] {
	prefix, err := f.prefix(parts...)
	if err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return f.store.objects.List(ctx, prefix, after)
}
