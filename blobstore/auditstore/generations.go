package auditstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// A history of seals and a chain of names go on changing: each version is a new object, the next
// generation, and the newest counts. Names count down, so that a listing begins with the newest.

const (
	// keptGenerations is how many outdated versions are kept before the newest.
	keptGenerations = 16
	// sweptGenerations is how many outdated versions are removed each time that a new one is
	// written.
	sweptGenerations = 16
	// minBraceBytes is less than anything in braces takes: a span, a rejection or a shard.
	minBraceBytes = 20
)

// readNewest has parse read the newest generation of a kind, and returns which it is; 0 if there is
// none. With an ErrCorrupt comes the generation of the one that cannot be read.
func (s *Store) readNewest(ctx context.Context, namespace, kind string, limit int64,
	parse func(key string, generation uint64, data []byte) error) (generation uint64, err error) {
	generation, data, err := s.folders(namespace).ReadNewest(ctx, kind, ".json", limit)
	if err != nil || generation == 0 {
		return generation, err
	}
	key := generationKey(namespace, kind, generation)
	// What stands between two braces takes more room in memory than in the object.
	if len(data) < minBraceBytes*bytes.Count(data, []byte("{")) {
		return generation, fmt.Errorf("%s: %w: %d bytes of braces", key, ErrCorrupt, len(data))
	}
	return generation, parse(key, generation, data)
}

// putNewest writes a generation of a kind, unless there is a newer one, and removes old ones.
func (s *Store) putNewest(ctx context.Context, namespace, kind string, generation uint64, data []byte, limit int64) error {
	key := generationKey(namespace, kind, generation)
	// To a writer that was away for long the name may be free again, for what had it was swept.
	// Nobody would read what it wrote there.
	if newest, err := s.folders(namespace).Newest(ctx, kind); err != nil || newest > generation {
		return cmp.Or(err, fmt.Errorf("%s: %w: there is generation %d", key, ErrDiffers, newest))
	}
	if err := s.putSame(ctx, key, data, limit); err != nil {
		return err
	}
	s.folders(namespace).Sweep(ctx, kind, generation)
	return nil
}

func generationKey(namespace, kind string, generation uint64) string {
	return namespace + "/" + kind + "/" + GenerationName(generation) + ".json"
}

// GenerationName is the name of a generation's object, to which an extension may be added.
func GenerationName(generation uint64) string {
	return fmt.Sprintf("%012d", uint64(verdict.MaxEpoch)-generation)
}

func generationOf(name string) (uint64, bool) {
	n, ok := verdict.ParsePadded(strings.TrimSuffix(name, ".json"), 12)
	// the last would leave no name for another
	return verdict.MaxEpoch - n, ok && n < verdict.MaxEpoch && n > 0
}
