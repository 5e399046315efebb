package auditstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/ktaudit/ktaudit/internal/writeonce"
)

// extensions are those an archived batch may have, as it had them in the log directory. They tell
// people how to unpack it; programs look at the content.
var extensions = []string{"", ".zst", ".gz", ".s2"}

// ArchiveWriter streams a batch, as its log published it, into the audit store. Nothing is there
// until Commit.
type ArchiveWriter struct {
	ctx    context.Context
	store  *Store
	key    string
	draft  writeonce.Draft
	sha256 hash.Hash
	size   int64
	ended  bool
	err    error // of a Write before the end, of Commit after it
}

// errAborted is what Commit returns after Abort.
var errAborted = errors.New("archive was aborted")

// ArchiveWriter starts to archive an epoch's batch. The extension is "", ".zst", ".gz" or ".s2".
// The caller ends it with Commit or Abort (which may follow Commit, so it can be deferred); the
// context must live until then.
func (s *Store) ArchiveWriter(ctx context.Context, namespace string, epoch uint64, extension string) (*ArchiveWriter, error) {
	key, err := archiveKey(namespace, epoch, extension)
	if err != nil {
		return nil, err
	}
	return s.writer(ctx, key)
}

// writer starts to stream an object of any size.
func (s *Store) writer(ctx context.Context, key string) (*ArchiveWriter, error) {
	d, err := s.objects.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	return &ArchiveWriter{ctx: ctx, store: s, key: key, draft: d, sha256: sha256.New()}, nil
}

func archiveKey(namespace string, epoch uint64, extension string) (string, error) {
	key, err := epochKey(namespace, archives, epoch)
	if err == nil && !slices.Contains(extensions, extension) {
		err = fmt.Errorf("archive of epoch %d: extension %q is none of %q", epoch, extension, extensions)
	}
	return key + extension, err
}

// Write adds to the archive. After an error nothing can be committed any more.
func (w *ArchiveWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fmt.Errorf("%s: write after the end", w.key)
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.draft.Write(p)
	w.sha256.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write %s: %w", w.key, err)
	}
	return n, w.err
}

// Commit records what was written, once. If the same bytes are on record already, that is as good;
// if other bytes are, they stay, and the error is an ErrDiffers. Called again, it returns the same
// result.
//
// What is on record is looked at after any failure. A server may refuse an object that exists
// before it has read it, and close the connection: its answer is then lost with the rest of the
// body, each time. And so may be the answer to a write that took effect.
func (w *ArchiveWriter) Commit() error {
	if w.ended {
		return w.err
	}
	if w.err != nil {
		w.end(w.draft.Abort)
		return w.err
	}
	w.ended = true
	err := w.draft.Commit()
	if err == nil {
		return nil
	}
	w.err = w.compare()
	if w.err != nil && !errors.Is(w.err, ErrDiffers) && !errors.Is(err, writeonce.ErrExists) {
		w.err = fmt.Errorf("write %s: %w", w.key, err) // nothing can be said of what is on record
	}
	return w.err
}

// Abort leaves nothing behind. After Commit it does nothing.
func (w *ArchiveWriter) Abort() {
	if w.ended {
		return
	}
	w.end(w.draft.Abort)
	if w.err == nil {
		w.err = fmt.Errorf("%s: %w", w.key, errAborted)
	}
}

func (w *ArchiveWriter) end(how func()) {
	w.ended = true
	how()
}

// compare reads the archive on record and reports whether it is what was written.
func (w *ArchiveWriter) compare() error {
	r, size, err := w.store.open(w.ctx, w.key)
	if err != nil {
		return err
	}
	defer r.Close()
	if size != w.size {
		return fmt.Errorf("%s: %w: %d bytes, not %d", w.key, ErrDiffers, size, w.size)
	}
	on := sha256.New()
	if _, err := io.Copy(on, io.LimitReader(r, size)); err != nil {
		return fmt.Errorf("read %s: %w", w.key, err)
	}
	if !bytes.Equal(on.Sum(nil), w.sha256.Sum(nil)) {
		return fmt.Errorf("%s: %w", w.key, ErrDiffers)
	}
	return nil
}

// Archive is an archived batch, as its log published it.
type Archive struct {
	io.ReadCloser
	Key  string
	Size int64
}

// OpenArchive opens an epoch's archived batch; ErrNotFound if there is none. The caller closes it.
func (s *Store) OpenArchive(ctx context.Context, namespace string, epoch uint64) (*Archive, error) {
	key, err := epochKey(namespace, archives, epoch)
	if err != nil {
		return nil, err
	}
	for _, extension := range extensions {
		var r io.ReadCloser
		var size int64
		r, size, err = s.open(ctx, key+extension)
		if err == nil {
			return &Archive{r, key + extension, size}, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
}
