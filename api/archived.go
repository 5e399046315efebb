package api

import (
	"context"
	"fmt"
	"io"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
)

// Archived returns a function for Namespace.Proofs that opens the archived batches of a log: of
// each epoch with a verdict the batch that was judged, whatever came of that. The options bound
// what unpacking one takes.
func Archived(store *auditstore.Store, namespace string, o fetcher.Options) func(ctx context.Context, epoch uint64, previous, digest string) (io.ReadCloser, error) {
	return func(ctx context.Context, epoch uint64, previous, digest string) (io.ReadCloser, error) {
		v, err := store.NewestVerdict(ctx, namespace, epoch)
		if err != nil {
			return nil, err
		}
		if v.PreviousDigest != previous || v.Digest != digest {
			return nil, fmt.Errorf("epoch %d of %s has other digests: %w", epoch, namespace, auditstore.ErrNotFound)
		}
		archive, err := store.OpenArchive(ctx, namespace, epoch)
		if err != nil {
			return nil, err
		}
		batch, err := fetcher.Decode(ctx, archive, archive.Size, o)
		if err != nil {
			_ = archive.Close()
			return nil, err
		}
		return &archived{Batch: batch, archive: archive, hash: v.Batch.SHA256}, nil
	}
}

// archived is an archived batch, unpacked.
type archived struct {
	*fetcher.Batch
	archive *auditstore.Archive
	hash    string // of the bytes that were judged
}

// Read ends with an error if these are not the bytes that were judged.
func (a *archived) Read(p []byte) (int, error) {
	n, err := a.Batch.Read(p)
	if err != io.EOF || a.hash == "" {
		return n, err
	}
	info, err := a.Info()
	if err == nil && info.SHA256 != a.hash {
		err = fmt.Errorf("%s: %w: it is not the batch that was judged", a.archive.Key, auditstore.ErrCorrupt)
	}
	if err == nil {
		err = io.EOF
	}
	return n, err
}

func (a *archived) Close() error {
	err := a.Batch.Close()
	if closeErr := a.archive.Close(); err == nil {
		err = closeErr
	}
	return err
}
