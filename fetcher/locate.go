package fetcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob"
)

const (
	// maxKeys is how many objects under one epoch are read: as many as one request to S3 lists.
	maxKeys = 1000
	// maxListings is how many requests that may take. A store may answer with short pages, a
	// hostile one with empty pages for ever.
	maxListings = 4
	// maxEvidence is how many keys an EquivocationError holds, maxKeyLength how many bytes of a key
	// a NameError holds.
	maxEvidence  = 100
	maxKeyLength = 1024
)

// extensions are those a batch's key may have. They are only a hint: the content shows how an
// object is compressed.
var extensions = []string{".zst", ".gz", ".s2", ".sz"}

// Object is a batch in a log directory, as the log lists it.
type Object struct {
	// Key is the object's key in the bucket, Name what it claims.
	Key  string
	Name validator.Name
	// Extension is what follows the name in the key: "", ".zst", ".gz", ".s2" or ".sz".
	Extension string
	// Size is the number of stored bytes.
	Size int64
	// ModTime is when the object was last written, if the store says so.
	ModTime time.Time
	// ETag identifies the state of the object that was listed. Only buckets of package s3list set
	// it, because only they may be behind a content delivery network that caches another state.
	ETag s3list.ETag
	// Stray is the key of the first object beside it that is not a batch, cut off after 1,024
	// bytes, or empty.
	Stray string
}

// Locate finds the batch of an epoch, of 1 or more. It returns *NotPublishedError if there is none,
// *EquivocationError if there are batches with different digests, *NameError if there are only
// other objects; other errors are faults of the listing.
//
// An object beside a batch that is not a batch, such as a checksum or a file manager's leftovers,
// changes nothing: it claims no digest. It is an error only where it may be all that the log
// published.
//
// One batch in several compressions is no equivocation, since all claim the same digests. Locate
// returns the first key in byte order, so that every auditor judges the same object: the
// uncompressed one if there is one. It ignores the empty objects "{epoch}/" and "{epoch}/{previous
// digest}/", which S3 consoles create as folders, and "{name}.{hex}.tmp", which is a batch still
// being written to a local directory.
func (f *Fetcher) Locate(ctx context.Context, epoch uint64) (Object, error) {
	if epoch == 0 {
		return Object{}, errors.New("epoch 0 has no batch")
	}
	listed, truncated, freshness, err := f.list(ctx, epoch)
	if err != nil {
		return Object{}, err
	}
	var batches []Object
	var stray *NameError
	for _, entry := range listed {
		if isFolder(entry) || isUpload(entry.Key) {
			continue
		}
		name, extension, err := ParseKey(entry.Key)
		if err == nil && name.Epoch != epoch {
			err = fmt.Errorf("it names epoch %d", name.Epoch)
		}
		if err != nil {
			if stray == nil {
				stray = nameError(epoch, entry, err)
			}
			if entry.ModTime.After(stray.ModTime) {
				stray.ModTime = entry.ModTime
			}
			continue
		}
		object := Object{Key: entry.Key, Name: name, Extension: extension, Size: entry.Size, ModTime: entry.ModTime}
		entry.As(&object.ETag)
		batches = append(batches, object)
	}
	switch {
	case slices.ContainsFunc(batches, func(o Object) bool { return o.Name != batches[0].Name }):
		return Object{}, equivocation(epoch, batches)
	case truncated: // there may be more batches among the objects that were not listed
		return Object{}, nameError(epoch, listed[len(listed)-1],
			fmt.Errorf("it is one of more than %d objects under the epoch", maxKeys))
	case len(batches) > 0:
		if stray != nil {
			batches[0].Stray = stray.Key
		}
		return batches[0], nil
	case stray != nil:
		return Object{}, stray
	}
	if f.options.Present != nil {
		if err := f.options.Present(ctx, prefixOf(epoch)); err != nil {
			return Object{}, fmt.Errorf("epoch %d: %w", epoch, err)
		}
	}
	return Object{}, &NotPublishedError{Epoch: epoch, Freshness: freshness}
}

// prefixOf is the prefix of an epoch's keys. It ends in a slash, so that epoch 1 does not list
// epoch 10.
func prefixOf(epoch uint64) string { return fmt.Sprintf("%d/", epoch) }

// list returns the first maxKeys objects under an epoch in byte order, whether there are more, and
// whose answer that is.
func (f *Fetcher) list(ctx context.Context, epoch uint64) (objects []*blob.ListObject, truncated bool, freshness s3list.Freshness, err error) {
	requests := 0
	objects, next, err := f.bucket.ListPage(ctx, blob.FirstPageToken, maxKeys, &blob.ListOptions{
		Prefix: prefixOf(epoch),
		BeforeList: func(as func(any) bool) error {
			if requests++; requests > maxListings {
				return fmt.Errorf("no end after %d requests", maxListings)
			}
			return freshness.Watch(as)
		},
	})
	if ctx.Err() != nil { // also after success: local disks ignore the context
		return nil, false, freshness, ctx.Err()
	}
	if err != nil {
		return nil, false, freshness, fmt.Errorf("epoch %d: listing its objects: %w", epoch, err)
	}
	truncated = len(next) > 0 || len(objects) > maxKeys
	objects = objects[:min(len(objects), maxKeys)]
	slices.SortFunc(objects, func(a, b *blob.ListObject) int { return strings.Compare(a.Key, b.Key) })
	return objects, truncated, freshness, nil
}

// ParseKey splits a batch's key, "{epoch}/{previous digest}/{digest}" and an extension, into the
// name and the extension: "", ".zst", ".gz", ".s2" or ".sz".
func ParseKey(key string) (name validator.Name, extension string, err error) {
	if len(key) > maxKeyLength {
		return name, "", fmt.Errorf("it is %d bytes long", len(key))
	}
	for _, e := range extensions {
		if s, ok := strings.CutSuffix(key, e); ok {
			key, extension = s, e
			break
		}
	}
	name, err = validator.ParseName(key)
	return name, extension, err
}

// isFolder reports whether an object only stands for a folder.
func isFolder(o *blob.ListObject) bool {
	parts := strings.Split(o.Key, "/")
	if o.Size != 0 || len(parts) > 3 || parts[len(parts)-1] != "" {
		return false
	}
	if len(parts) == 3 {
		_, err := validator.ParseDigest(parts[1])
		return err == nil
	}
	return true
}

// isUpload reports whether a key is the temporary file that gocloud's local driver writes beside a
// batch.
func isUpload(key string) bool {
	key, temporary := strings.CutSuffix(key, ".tmp")
	i := strings.LastIndexByte(key, '.')
	if !temporary || i < 0 || i+1 == len(key) || strings.Trim(key[i+1:], "0123456789abcdef") != "" {
		return false
	}
	_, _, err := ParseKey(key[:i])
	return err == nil
}

func equivocation(epoch uint64, batches []Object) *EquivocationError {
	e := &EquivocationError{Epoch: epoch}
	for _, o := range batches[:min(len(batches), maxEvidence)] {
		e.Keys = append(e.Keys, o.Key)
	}
	e.More = len(batches) - len(e.Keys)
	return e
}

func nameError(epoch uint64, entry *blob.ListObject, err error) *NameError {
	return &NameError{Epoch: epoch, Key: entry.Key[:min(len(entry.Key), maxKeyLength)], ModTime: entry.ModTime, Err: err}
}
