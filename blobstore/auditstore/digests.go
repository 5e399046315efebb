package auditstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/internal/writeonce"
	"github.com/ktaudit/ktaudit/verdict"
)

// The index of digests says which epochs ended with a digest. Its entries have no bytes, and are
// made before the verdicts that they are of, so that each verified verdict has its entry; one
// without a verdict that bears it out counts for nothing. The layout is
//
//	{namespace}/digests/{first 3 digits}/{digest}-{epoch, 12 digits}
//	{namespace}/indexed/{counts down from MaxEpoch, 12 digits}.json
//
// The second are notes on how many shards were gone through for the verdicts of versions that had
// no index. Of these the first in a listing counts.
const (
	digests = "digests"
	indexed = "indexed"
)

// AllShards is how many shards the layout has room for.
const AllShards = verdict.MaxEpoch/verdict.EpochsPerShard + 1

// maxDigestEntries bounds how many entries of one digest are read. Of an honest log there is one;
// of one that goes back to the same epoch again and again, one for each time.
const maxDigestEntries = 10_000

// PutDigest enters in the index that an epoch ended with a digest. To repeat it changes nothing.
func (s *Store) PutDigest(ctx context.Context, namespace, digest string, epoch uint64) error {
	prefix, err := digestPrefix(namespace, digest)
	if err := errors.Join(err, verdict.CheckKey(namespace, epoch)); err != nil {
		return err
	}
	err = s.objects.Mark(ctx, fmt.Sprintf("%s%s-%012d", prefix, digest, epoch))
	if errors.Is(err, writeonce.ErrExists) {
		return nil
	}
	return err
}

// EpochsOfDigest returns the epochs before another that are entered as having ended with a digest,
// ascending, by one listing. Whether they did is said by their verdicts.
func (s *Store) EpochsOfDigest(ctx context.Context, namespace, digest string, before uint64) ([]uint64, error) {
	prefix, err := digestPrefix(namespace, digest)
	if err != nil {
		return nil, err
	}
	var epochs []uint64
	seen := 0
	for name, err := range s.objects.List(ctx, prefix, digest+"-") {
		if err != nil {
			return nil, err
		}
		number, isEntry := strings.CutPrefix(name, digest+"-")
		if seen++; !isEntry || seen > maxDigestEntries {
			break
		}
		epoch, ok := verdict.ParseEpochName(number)
		if ok && epoch >= before {
			break
		}
		if ok {
			epochs = append(epochs, epoch)
		}
	}
	return epochs, nil
}

// digestPrefix is the prefix of a digest's entries. Two million epochs make it 500 names, which is
// one page of a listing on any store.
func digestPrefix(namespace, digest string) (string, error) {
	if err := errors.Join(verdict.CheckNamespace(namespace), verdict.CheckDigest(digest)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%s/%s/", namespace, digests, digest[:3]), nil
}

// IndexedShards returns of how many shards, from the first on, every verified verdict has its entry
// in the index.
func (s *Store) IndexedShards(ctx context.Context, namespace string) (uint64, error) {
	return s.folders(namespace).Newest(ctx, indexed)
}

// PutIndexed notes of how many shards, AllShards at most, every verified verdict has its entry, and
// reports whether nobody had noted that before.
func (s *Store) PutIndexed(ctx context.Context, namespace string, shards uint64) (first bool, err error) {
	if err := verdict.CheckNamespace(namespace); err != nil {
		return false, err
	}
	if shards == 0 || shards > AllShards {
		return false, fmt.Errorf("index of digests of %s: %d shards: want 1 to %d", namespace, shards, uint64(AllShards))
	}
	err = s.objects.Put(ctx, generationKey(namespace, indexed, shards), []byte("{}\n"))
	if errors.Is(err, writeonce.ErrExists) {
		return false, nil
	}
	return err == nil, err
}
