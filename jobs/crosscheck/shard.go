package crosscheck

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// shard is what is on record of a thousand epochs.
type shard struct {
	judged   []uint64        // with a verdict, ascending
	recorded map[uint64]bool // with a signed digest of the auditor's that was compared
}

func (s *shard) isJudged(epoch uint64) bool {
	_, ok := slices.BinarySearch(s.judged, epoch)
	return ok
}

// highest is the last epoch on record; 0 if there is none.
func (s *shard) highest() (highest uint64) {
	for epoch := range s.recorded {
		highest = max(highest, epoch)
	}
	return highest
}

// sample is any epoch on record.
func (s *shard) sample() (uint64, bool) {
	if len(s.recorded) == 0 {
		return 0, false
	}
	skip := rand.IntN(len(s.recorded))
	for epoch := range s.recorded {
		if skip == 0 {
			return epoch, true
		}
		skip--
	}
	return 0, false
}

// shard lists a shard, once in a round.
func (r *round) shard(ctx context.Context, n uint64) (*shard, error) {
	if s := r.shards[n]; s != nil {
		return s, nil
	}
	judged, err := r.Store.Epochs(ctx, r.Namespace, n)
	if err != nil {
		return nil, fmt.Errorf("verdicts of %s: %w", r.Namespace, err)
	}
	s := &shard{judged: judged, recorded: map[uint64]bool{}}
	for name, err := range r.folder().Names(ctx, "", r.id, verdict.ShardName(n)) {
		if err != nil {
			return nil, fmt.Errorf("signed digests of %s by %s: %w", r.Namespace, r.Client.URL(), err)
		}
		name, isJSON := strings.CutSuffix(name, ".json")
		if epoch, ok := verdict.ParseEpochName(name); ok && isJSON && epoch/verdict.EpochsPerShard == n {
			s.recorded[epoch] = true
		}
	}
	r.shards[n] = s
	return s, nil
}

func (r *round) folder() auditstore.Folder { return folderOf(r.Store, r.Namespace) }

// path is that of an epoch's signed digest in the folder.
func (r *round) path(epoch uint64) []string {
	return []string{r.id, verdict.ShardName(epoch / verdict.EpochsPerShard), verdict.EpochName(epoch)}
}

// folderOf holds what was compared:
//
//	{namespace}/crosscheck/{auditor}/{shard}/{epoch, 12 digits}.json   signed digests
//	{namespace}/crosscheck/ours/{shard}.json                           shards signed here
func folderOf(store *auditstore.Store, namespace string) auditstore.Folder {
	return store.Folder(namespace, "crosscheck")
}
