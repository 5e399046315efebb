package fetcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

const (
	// maxKeys is how many objects under one epoch are read, pageSize how many of them one request
	// to S3 lists.
	maxKeys  = 10_000
	pageSize = 1000
	// maxListings is how many requests that may take. A store may answer with short pages, a
	// hostile one with empty pages for ever.
	maxListings = 14
	// maxEvidence is how many keys an EquivocationError holds, maxKeyLength how many bytes of a key
	// an error holds.
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
	// Strays are the objects beside it that claim nothing.
	Strays Strays
}

// Listed is what a verdict says of the object by its listing.
func (o Object) Listed() verdict.Batch {
	b := verdict.Batch{Key: o.Key, StoredBytes: o.Size, ETag: string(o.ETag)}
	if at := o.ModTime.UTC(); at.Year() >= 1 && at.Year() <= 9999 { // what JSON has room for
		b.ModifiedAt = at
	}
	return b
}

// Locate finds the batch of an epoch, of 1 or more. It returns *NotPublishedError if there is none,
// *EquivocationError if there are batches with different digests, *NameError if there are only
// other objects; other errors are faults of the listing, or ErrCrowded.
//
// What the akd crate would read as the name of a batch claims the digests in it, though it is not
// written as names are: in upper case, or with more behind a third slash. With other digests than
// the batch it is an equivocation; with the same ones, or with none, such as a checksum or a file
// manager's leftovers, it is a stray. A stray changes nothing, except where it may be all that the
// log published.
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
	c := claims{epoch: epoch}
	truncated, freshness, err := f.list(ctx, &c)
	if err != nil {
		return Object{}, err
	}
	object, err := c.object(truncated)
	if err != nil || object.Key != "" {
		return object, err
	}
	if f.options.Present != nil {
		if err := f.options.Present(ctx, prefixOf(epoch)); err != nil {
			return Object{}, fmt.Errorf("epoch %d: %w", epoch, cleaned(err))
		}
	}
	return Object{}, &NotPublishedError{Epoch: epoch, Freshness: freshness}
}

// Find asks for an object of which the key is known, such as a second batch of an epoch. The key
// must be one that Locate takes for a batch's name.
func (f *Fetcher) Find(ctx context.Context, key string) (Object, error) {
	name, err := ReadKey(key)
	if err != nil {
		return Object{}, fmt.Errorf("object %q is not a batch: %w", text.Cut(key, maxShown), cleaned(err))
	}
	attributes, err := f.bucket.Attributes(ctx, key)
	if err != nil {
		return Object{}, fmt.Errorf("batch %s: %w", text.Clean(key, maxShown), cleaned(err))
	}
	object := Object{Key: key, Name: name, Size: attributes.Size, ModTime: attributes.ModTime}
	_, object.Extension = cutExtension(key)
	return object, nil
}

// prefixOf is the prefix of an epoch's keys. It ends in a slash, so that epoch 1 does not list
// epoch 10.
func prefixOf(epoch uint64) string { return fmt.Sprintf("%d/", epoch) }

// list reads the objects under an epoch, page by page, until there are no more, two of them claim
// different digests, or there are more than maxKeys; and says whose answer that is.
func (f *Fetcher) list(ctx context.Context, c *claims) (truncated bool, freshness s3list.Freshness, err error) {
	caller := ctx
	ctx, timeout := patience.New(ctx, patience.Limits{Grace: f.options.ListTimeout, MinRate: 1})
	defer timeout.Close()
	timeout.Start()
	recorded, end := recordingOf(caller, c.epoch)
	defer func() { end(err) }()
	requests, listed := 0, 0
	for token := blob.FirstPageToken; ; {
		var answers s3list.Answers
		page, next, err := f.bucket.ListPage(ctx, token, pageSize, &blob.ListOptions{
			Prefix: prefixOf(c.epoch),
			BeforeList: func(as func(any) bool) error {
				if requests++; requests > maxListings {
					return fmt.Errorf("no end after %d requests", maxListings)
				}
				as(&answers)
				return freshness.Watch(as)
			},
		})
		if caller.Err() != nil { // also after success: local disks ignore the context
			return false, freshness, caller.Err()
		}
		if ctx.Err() != nil { // not the store's error, which would pass for the caller's
			err = fmt.Errorf("%w: no end after %s", patience.ErrSlow, f.options.ListTimeout)
		}
		if err != nil {
			return false, freshness, fmt.Errorf("epoch %d: listing its objects: %w", c.epoch, cleaned(err))
		}
		recorded.page(page, answers)
		for _, entry := range page[:min(len(page), maxKeys-listed)] {
			c.add(entry)
		}
		listed += len(page)
		switch {
		case listed > maxKeys, len(next) > 0 && (listed == maxKeys || c.equivocal()):
			return true, freshness, nil
		case len(next) == 0:
			return false, freshness, nil
		}
		token = next
	}
}

// ParseKey splits a batch's key, "{epoch}/{previous digest}/{digest}" and an extension, into the
// name and the extension: "", ".zst", ".gz", ".s2" or ".sz".
func ParseKey(key string) (name validator.Name, extension string, err error) {
	if len(key) > maxKeyLength {
		return name, "", fmt.Errorf("it is %d bytes long", len(key))
	}
	key, extension = cutExtension(key)
	name, err = validator.ParseName(key)
	return name, extension, err
}

func cutExtension(key string) (rest, extension string) {
	for _, e := range extensions {
		if rest, ok := strings.CutSuffix(key, e); ok {
			return rest, e
		}
	}
	return key, ""
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
