package auditstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/writeonce"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

const (
	// MaxSignatureBytes is the largest signed digest the audit store takes.
	MaxSignatureBytes = 64 << 10
	// MaxEvidenceBytes is the largest piece of evidence the audit store takes. Whole batches go to
	// the archive.
	MaxEvidenceBytes = 16 << 20
)

var (
	// ErrNotFound says that the audit store has no such object. It is certain: on a store that
	// answers "not found" for "not allowed" too, Open has made sure that listing is allowed.
	ErrNotFound = errors.New("not in the audit store")

	// ErrDiffers says that the audit store holds other bytes under the key. They stay; the caller's
	// were not written. To retry is of no use.
	ErrDiffers = errors.New("the audit store holds something else")

	// ErrCorrupt says that an object on record is not what its key promises: truncated, edited or
	// in the wrong place. The error names the key. To retry is of no use; someone must look at the
	// object and remove it, upon which the epoch is audited again. In a shard that is sealed the
	// object must be brought back; or else its seal and all histories are removed, too.
	ErrCorrupt = errors.New("corrupt object in the audit store")
)

// IsLost reports whether an error says that there is no object, or one that is damaged. One of a
// later schema is not lost: it waits for a version that can read it.
func IsLost(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) }

// IsUnreadable reports whether an error says that an object is damaged or of a later schema.
func IsUnreadable(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, verdict.ErrNewerSchema)
}

// Store is an audit store. It may be used by several goroutines, and the bucket behind it by
// several processes.
type Store struct {
	objects writeonce.Objects
}

// Open opens the audit store in a bucket, given as for OpenBucket. On local disk the folder
// must exist; for a file URL with create_dir=true it is made. A store at mem:// is new, empty and
// gone when it is closed.
func Open(ctx context.Context, url string) (*Store, error) {
	folder, err := blobstore.LocalFolder(url)
	if err != nil {
		return nil, err
	}
	if folder != nil {
		d, err := writeonce.NewDisk(*folder)
		return &Store{d}, err
	}
	if blobstore.IsReadOnly(url) {
		return nil, fmt.Errorf("audit store %s: a public log is read-only", url)
	}
	b, err := blobstore.OpenBucket(ctx, url)
	if err != nil {
		return nil, err
	}
	return New(b), nil
}

// New is the audit store in an open bucket, which it takes over. The bucket's IfNotExist must
// be atomic: that of gocloud's driver for local disk is not, so a folder needs Open.
func New(b *blob.Bucket) *Store { return &Store{writeonce.NewBucket(b)} }

// Close releases the bucket.
func (s *Store) Close() error { return s.objects.Close() }

// PutVerdict records what was concluded about an epoch, once. It returns the verdict on record: v,
// with created true, or else the one that was there before, which stays. To repeat a PutVerdict
// whose answer was lost, with the same v, gives created true again. An invalid verdict is refused
// (Validate); an unreadable one on record is an ErrCorrupt and is left alone.
func (s *Store) PutVerdict(ctx context.Context, v verdict.Verdict) (recorded verdict.Verdict, created bool, err error) {
	data, err := v.Encode()
	if err != nil {
		return verdict.Verdict{}, false, fmt.Errorf("verdict on epoch %d of %q: %w", v.Epoch, v.Namespace, err)
	}
	key, err := jsonKey(v.Namespace, verdicts, v.Epoch)
	if err != nil {
		return verdict.Verdict{}, false, err
	}
	on, err := s.put(ctx, key, data, verdict.MaxBytes)
	if err == nil && bytes.Equal(on, data) {
		return v, true, nil
	}
	if err == nil {
		recorded, err = verdictAt(key, on, v.Namespace, v.Epoch)
	}
	return recorded, false, err
}

// Verdict returns what was concluded about an epoch; ErrNotFound if nothing was yet.
func (s *Store) Verdict(ctx context.Context, namespace string, epoch uint64) (verdict.Verdict, error) {
	v, _, err := s.VerdictObject(ctx, namespace, epoch)
	return v, err
}

// VerdictObject returns what was concluded about an epoch, and the SHA-256 of the object that says
// so.
func (s *Store) VerdictObject(ctx context.Context, namespace string, epoch uint64) (verdict.Verdict, [sha256.Size]byte, error) {
	v, data, err := s.VerdictAndBytes(ctx, namespace, epoch)
	return v, sha256.Sum256(data), err
}

// VerdictAndBytes returns what was concluded about an epoch, and the object that says so.
func (s *Store) VerdictAndBytes(ctx context.Context, namespace string, epoch uint64) (verdict.Verdict, []byte, error) {
	key, err := jsonKey(namespace, verdicts, epoch)
	if err != nil {
		return verdict.Verdict{}, nil, err
	}
	data, err := s.get(ctx, key, verdict.MaxBytes)
	if err != nil {
		return verdict.Verdict{}, nil, err
	}
	v, err := verdictAt(key, data, namespace, epoch)
	return v, data, err
}

// verdictAt decodes the verdict found at a key. One that belongs elsewhere says nothing about this
// epoch.
func verdictAt(key string, data []byte, namespace string, epoch uint64) (verdict.Verdict, error) {
	v, err := verdict.Decode(data)
	switch {
	case errors.Is(err, verdict.ErrNewerSchema):
		return verdict.Verdict{}, fmt.Errorf("%s: %w", key, err)
	case err != nil:
		return verdict.Verdict{}, fmt.Errorf("%s: %w: %w", key, ErrCorrupt, err)
	case v.Namespace != namespace || v.Epoch != epoch:
		return verdict.Verdict{}, fmt.Errorf("%s: %w: a verdict on epoch %d of %q", key, ErrCorrupt, v.Epoch, v.Namespace)
	}
	return v, nil
}

// Epochs returns the epochs of a shard (epoch/EpochsPerShard) that have a verdict, ascending. It
// lists once and reads no verdict.
func (s *Store) Epochs(ctx context.Context, namespace string, shard uint64) ([]uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	return s.numbers(ctx, shardPrefix(namespace, verdicts, shard), "", func(name string) (uint64, bool) {
		name, isJSON := strings.CutSuffix(name, ".json")
		epoch, ok := verdict.ParseEpochName(name)
		return epoch, ok && isJSON && epoch/verdict.EpochsPerShard == shard
	})
}

// Shards returns the shards from from to to that have verdicts, ascending. On local disk a crash
// may have left one that has none.
func (s *Store) Shards(ctx context.Context, namespace string, from, to uint64) ([]uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	return s.numbersTo(ctx, namespace+"/"+verdicts+"/", fmt.Sprintf("%09d", from), to, func(name string) (uint64, bool) {
		name, isFolder := strings.CutSuffix(name, "/")
		shard, ok := verdict.ParseShardName(name)
		return shard, ok && isFolder
	})
}

// numbers lists what a prefix holds after a name; anything that is not what the layout has there is
// passed over.
func (s *Store) numbers(ctx context.Context, prefix, after string, number func(name string) (uint64, bool)) ([]uint64, error) {
	return s.numbersTo(ctx, prefix, after, math.MaxUint64, number)
}

// numbersTo is numbers that ends after the number last.
func (s *Store) numbersTo(ctx context.Context, prefix, after string, last uint64, number func(name string) (uint64, bool)) ([]uint64, error) {
	var all []uint64
	for name, err := range s.objects.List(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		n, ok := number(name)
		if ok && n > last {
			break // names are in order
		}
		if ok {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// PutSignature records an epoch's signed digest, once. ErrDiffers if another one is on record.
func (s *Store) PutSignature(ctx context.Context, namespace string, epoch uint64, data []byte) error {
	key, err := jsonKey(namespace, signatures, epoch)
	if err != nil {
		return err
	}
	return s.putSame(ctx, key, data, MaxSignatureBytes)
}

// Signature returns an epoch's signed digest as recorded, unchecked; ErrNotFound if there is none.
func (s *Store) Signature(ctx context.Context, namespace string, epoch uint64) ([]byte, error) {
	key, err := jsonKey(namespace, signatures, epoch)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, key, MaxSignatureBytes)
}

// PutEvidence records, once, what shows that an epoch was rightly rejected. The name is a plain
// file name; an epoch may have several. ErrDiffers if the name is taken by other bytes. At most
// MaxEvidenceBytes.
func (s *Store) PutEvidence(ctx context.Context, namespace string, epoch uint64, name string, data []byte) error {
	key, err := evidenceKey(namespace, epoch, name)
	if err != nil {
		return err
	}
	return s.putSame(ctx, key, data, MaxEvidenceBytes)
}

// Evidence returns what PutEvidence recorded; ErrNotFound if there is none of that name.
func (s *Store) Evidence(ctx context.Context, namespace string, epoch uint64, name string) ([]byte, error) {
	key, err := evidenceKey(namespace, epoch, name)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, key, MaxEvidenceBytes)
}

// EvidenceKeys returns the keys of the evidence on an epoch in their order, at most limit, by one
// listing.
func (s *Store) EvidenceKeys(ctx context.Context, namespace string, epoch uint64, limit int) ([]string, error) {
	names, err := s.EvidenceNames(ctx, namespace, epoch)
	if err != nil {
		return nil, err
	}
	folder, err := EvidenceFolder(namespace, epoch)
	keys := names[:min(limit, len(names))]
	for i, name := range keys {
		keys[i] = folder + name
	}
	return keys, err
}

// put creates an object and returns the bytes on record: the caller's, or those that were there
// before.
func (s *Store) put(ctx context.Context, key string, data []byte, limit int64) ([]byte, error) {
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %d bytes, the limit is %d", key, len(data), limit)
	}
	err := s.objects.Put(ctx, key, data)
	if errors.Is(err, writeonce.ErrExists) {
		return s.get(ctx, key, limit)
	}
	return data, err
}

func (s *Store) putSame(ctx context.Context, key string, data []byte, limit int64) error {
	on, err := s.put(ctx, key, data, limit)
	if err == nil && !bytes.Equal(on, data) {
		err = fmt.Errorf("%s: %w", key, ErrDiffers)
	}
	return err
}

// get reads an object of at most limit bytes. The audit store wrote it within that limit, so a
// larger one is corrupt.
func (s *Store) get(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, size, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, the limit is %d", key, ErrCorrupt, size, limit)
	}
	data, err := io.ReadAll(io.LimitReader(r, limit))
	if err == nil && int64(len(data)) != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// open opens an object; ErrNotFound if there is none, ErrCorrupt if what is there is no file.
func (s *Store) open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	r, size, err := s.objects.Open(ctx, key)
	if odd, ok := errors.AsType[*writeonce.NotAnObjectError](err); ok {
		return nil, 0, fmt.Errorf("%s: %w: %w", key, ErrCorrupt, odd)
	}
	if errors.Is(err, writeonce.ErrNotFound) {
		return nil, 0, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	return r, size, err
}
