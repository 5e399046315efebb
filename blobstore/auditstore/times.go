package auditstore

import (
	"context"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// VerdictTimes returns when the verdicts of a shard were written, by the store's clock. It lists
// once and reads no verdict.
func (s *Store) VerdictTimes(ctx context.Context, namespace string, shard uint64) (map[uint64]time.Time, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	return s.times(ctx, shardPrefix(namespace, verdicts, shard), 12)
}

// SealTimes returns when each shard that is sealed was, by the store's clock, by one listing.
func (s *Store) SealTimes(ctx context.Context, namespace string) (map[uint64]time.Time, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	return s.times(ctx, namespace+"/"+seals+"/", 9)
}

// times returns when the objects with a prefix were written that are called by a number of so many
// digits.
func (s *Store) times(ctx context.Context, prefix string, digits int) (map[uint64]time.Time, error) {
	all := map[uint64]time.Time{}
	for e, err := range s.objects.Entries(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name, isJSON := strings.CutSuffix(e.Name, ".json")
		if n, ok := verdict.ParsePadded(name, digits); ok && isJSON {
			all[n] = e.Modified
		}
	}
	return all, nil
}
