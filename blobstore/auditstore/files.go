package auditstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// Files are plain objects, of any bytes, in a folder of a namespace's for a room that keeps objects
// of its own in the audit store. Names are paths below the folder, of plain segments.
type Files struct {
	store  *Store
	prefix string // of all keys; ends in "/"
	err    error  // of the namespace or the folder
}

// layout are the folders of which this package says what is in them, and which objects stay.
var layout = []string{
	verdicts, signatures, archives, evidence, seals, histories, chainPieces, chains, digests, indexed, overruled, "alerts", "incidents",
}

// Files returns a folder of a namespace's. It need not exist. Its name must not be one that the
// layout of this package has: each call would be an error.
func (s *Store) Files(namespace, folder string) Files {
	err := errors.Join(verdict.CheckName("namespace", namespace), verdict.CheckName("folder", folder))
	if slices.Contains(layout, folder) {
		err = fmt.Errorf("folder %q of the audit store has a layout of its own", folder)
	}
	return Files{s, namespace + "/" + folder + "/", err}
}

// Put creates an object of at most limit bytes, and returns the bytes on record: the caller's, or
// those that were there before, which stay.
func (f Files) Put(ctx context.Context, name string, data []byte, limit int64) (recorded []byte, err error) {
	key, err := f.key(name)
	if err != nil {
		return nil, err
	}
	return f.store.put(ctx, key, data, limit)
}

// Get returns an object's bytes; ErrNotFound if there is none, ErrCorrupt if it has more than
// limit.
func (f Files) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	key, err := f.key(name)
	if err != nil {
		return nil, err
	}
	return f.store.get(ctx, key, limit)
}

// Names yields what stands directly in a folder ("" for this one) after a name, in order. Names of
// folders end in "/". On local disk ".tmp/" is among those of this one.
func (f Files) Names(ctx context.Context, folder, after string) iter.Seq2[string, error] {
	prefix, err := f.prefix, f.err
	if folder != "" {
		prefix, err = f.key(folder)
		prefix += "/"
	}
	if err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return f.store.objects.List(ctx, prefix, after)
}

// Remove takes an object away; one that is not there is no error.
func (f Files) Remove(ctx context.Context, name string) error {
	key, err := f.key(name)
	if err != nil {
		return err
	}
	return f.store.objects.Remove(ctx, key)
}

// Replace writes an object whether or not there is one. It is for what stands, or can be had,
// elsewhere: of two writers the later one wins, though it may have the older bytes.
func (f Files) Replace(ctx context.Context, name string, data []byte) error {
	key, err := f.key(name)
	if err != nil {
		return err
	}
	return f.store.objects.Replace(ctx, key, data)
}

// Newest returns the newest generation in a folder; 0 if there is none. See GenerationName.
func (f Files) Newest(ctx context.Context, folder string) (uint64, error) {
	prefix, err := f.key(folder)
	if err != nil {
		return 0, err
	}
	return f.store.newestBelow(ctx, prefix+"/")
}

// Sweep removes some generations of a folder that are long before another, which is the newest.
func (f Files) Sweep(ctx context.Context, folder string, generation uint64) {
	if prefix, err := f.key(folder); err == nil {
		f.store.sweep(ctx, prefix+"/", generation)
	}
}

func (f Files) key(name string) (string, error) {
	if f.err != nil {
		return "", f.err
	}
	for part := range strings.SplitSeq(name, "/") {
		if err := verdict.CheckName("part of a name", part); err != nil {
			return "", err
		}
	}
	return f.prefix + name, nil
}
