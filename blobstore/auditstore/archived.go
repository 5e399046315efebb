package auditstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/writeonce"
	"github.com/ktaudit/ktaudit/verdict"
)

// Archived is what a listing says of an archived batch.
type Archived struct {
	Epoch     uint64
	Extension string
	Size      int64
	At        time.Time // when it was archived, by the store's clock
}

// ArchiveShards returns the shards (epoch/EpochsPerShard) that have archived batches, ascending, by
// one listing. On local disk there may be some that have none.
func (s *Store) ArchiveShards(ctx context.Context, namespace string) ([]uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	return s.numbers(ctx, namespace+"/"+archives+"/", "", func(name string) (uint64, bool) {
		name, isFolder := strings.CutSuffix(name, "/")
		shard, ok := verdict.ParseShardName(name)
		return shard, ok && isFolder
	})
}

// Archives returns a shard's archived batches, in order, by one listing. An epoch may have several,
// with different extensions, if its log published it anew while it was judged.
func (s *Store) Archives(ctx context.Context, namespace string, shard uint64) ([]Archived, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	var all []Archived
	for e, err := range s.objects.Entries(ctx, shardPrefix(namespace, archives, shard)) {
		if err != nil {
			return nil, err
		}
		digits := e.Name[:min(len(e.Name), 12)]
		extension := e.Name[len(digits):]
		epoch, ok := verdict.ParseEpochName(digits)
		if ok && epoch/verdict.EpochsPerShard == shard && slices.Contains(extensions, extension) {
			all = append(all, Archived{epoch, extension, e.Size, e.Modified})
		}
	}
	return all, nil
}

// EvidencedEpochs returns the epochs of a shard that there is evidence on, ascending, by one
// listing.
func (s *Store) EvidencedEpochs(ctx context.Context, namespace string, shard uint64) ([]uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	return s.numbers(ctx, shardPrefix(namespace, evidence, shard), "", func(name string) (uint64, bool) {
		name, isFolder := strings.CutSuffix(name, "/")
		epoch, ok := verdict.ParseEpochName(name)
		return epoch, ok && isFolder && epoch/verdict.EpochsPerShard == shard
	})
}

// RemoveArchive removes an archived batch for good; one that is not there is no error. A Store has
// no way to remove a verdict, a signed digest or evidence: whatever the arguments, the key is that
// of an archived batch.
//
// It leaves the shard's folder on local disk, also when it is empty. Whoever archives a batch makes
// its folder first and links the batch into it later, and would find it gone in between.
func (s *Store) RemoveArchive(ctx context.Context, namespace string, epoch uint64, extension string) error {
	key, err := archiveKey(namespace, epoch, extension)
	if err != nil {
		return err
	}
	return s.objects.Remove(ctx, key)
}

// leftClocks is when an object of Now counts as left behind by a process that died.
const leftClocks = time.Hour

// Now returns the time by the clock that Archived.At is by: the service's, or the file server's. It
// writes a small object beside the namespace's archived batches, lists it and removes it again, so
// it needs the right to delete there and nowhere else.
func (s *Store) Now(ctx context.Context, namespace string) (now time.Time, err error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return time.Time{}, err
	}
	prefix := namespace + "/" + archives + "/clock/"
	own := rand.Text()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// it may be there although its writing failed
		err = errors.Join(err, s.objects.Remove(ctx, prefix+own))
	}()
	if err := s.objects.Put(ctx, prefix+own, []byte("ktaudit asks here what time it is.\n")); err != nil {
		return time.Time{}, err
	}
	var others []writeonce.Entry
	for e, err := range s.objects.Entries(ctx, prefix) {
		if err != nil {
			return time.Time{}, err
		}
		if e.Name == own {
			now = e.Modified
		} else {
			others = append(others, e)
		}
	}
	if now.IsZero() {
		return time.Time{}, fmt.Errorf("%s%s was written and is not listed: this store cannot tell the time", prefix, own)
	}
	for _, e := range others {
		if now.Sub(e.Modified) > leftClocks {
			if err := s.objects.Remove(ctx, prefix+e.Name); err != nil {
				return time.Time{}, err
			}
		}
	}
	return now, nil
}
