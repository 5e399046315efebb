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
	f := s.folders(namespace)
	f.prefix, f.err = f.prefix+folder+"/", errors.Join(f.err, verdict.CheckName("folder", folder))
	if slices.Contains(layout, folder) {
		f.err = fmt.Errorf("folder %q of the audit store has a layout of its own", folder)
	}
	return f
}

// folders are all folders of a namespace's.
func (s *Store) folders(namespace string) Files {
	return Files{s, namespace + "/", verdict.CheckName("namespace", namespace)}
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
	for name, err := range f.store.objects.List(ctx, prefix+"/", "") {
		if err != nil {
			return 0, err
		}
		if generation, ok := generationOf(name); ok {
			return generation, nil
		}
	}
	return 0, nil
}

// ReadNewest reads the newest generation in a folder, at most limit bytes, and returns which it is;
// 0 if there is none. extension is what its name has after that of the generation. With an
// ErrCorrupt comes the generation of the one that cannot be read.
func (f Files) ReadNewest(ctx context.Context, folder, extension string, limit int64) (generation uint64, data []byte, err error) {
	for range 3 {
		if generation, err = f.Newest(ctx, folder); err != nil || generation == 0 {
			break
		}
		data, err = f.Get(ctx, folder+"/"+GenerationName(generation)+extension, limit)
		if !errors.Is(err, ErrNotFound) {
			break
		} // else removed since, for there are newer ones
	}
	return generation, data, err
}

// Sweep removes some generations of a folder that are long before another, which is the newest.
// Somebody may be about to read the last few. And who is about to write one, and has made sure that
// it will be the newest, must not find its name free because so many others were quicker. Those
// that cannot be removed are in nobody's way.
func (f Files) Sweep(ctx context.Context, folder string, generation uint64) {
	prefix, err := f.key(folder)
	if err != nil || generation <= keptGenerations {
		return
	}
	// "." and what follows it come after the digits alone
	before := GenerationName(generation-keptGenerations) + ".json"
	removed := 0
	for name, err := range f.store.objects.List(ctx, prefix+"/", before) {
		if _, ok := generationOf(name); err != nil || removed == sweptGenerations {
			return
		} else if !ok {
			continue
		}
		if f.store.objects.Remove(ctx, prefix+"/"+name) != nil {
			return
		}
		removed++
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
