package auditstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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

// newest returns the newest generation of a kind, 0 if there is none.
func (s *Store) newest(ctx context.Context, namespace, kind string) (uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return 0, err
	}
	return s.newestBelow(ctx, generationPrefix(namespace, kind))
}

func (s *Store) newestBelow(ctx context.Context, prefix string) (uint64, error) {
	for name, err := range s.objects.List(ctx, prefix, "") {
		if err != nil {
			return 0, err
		}
		if generation, ok := generationOf(name); ok {
			return generation, nil
		}
	}
	return 0, nil
}

// readNewest has parse read the newest generation of a kind, and returns which it is; 0 if there is
// none. With an ErrCorrupt comes the generation of the one that cannot be read.
func (s *Store) readNewest(ctx context.Context, namespace, kind string, limit int64,
	parse func(key string, generation uint64, data []byte) error) (generation uint64, err error) {
	for range 3 {
		if generation, err = s.newest(ctx, namespace, kind); err != nil || generation == 0 {
			return generation, err
		}
		key := generationKey(namespace, kind, generation)
		var data []byte
		data, err = s.get(ctx, key, limit)
		if errors.Is(err, ErrNotFound) {
			continue // removed since, for there are newer ones
		}
		if err != nil {
			return generation, err
		}
		// What stands between two braces takes more room in memory than in the object.
		if len(data) < minBraceBytes*bytes.Count(data, []byte("{")) {
			return generation, fmt.Errorf("%s: %w: %d bytes of braces", key, ErrCorrupt, len(data))
		}
		return generation, parse(key, generation, data)
	}
	return generation, err
}

// putNewest writes a generation of a kind, unless there is a newer one, and removes old ones.
func (s *Store) putNewest(ctx context.Context, namespace, kind string, generation uint64, data []byte, limit int64) error {
	key := generationKey(namespace, kind, generation)
	// To a writer that was away for long the name may be free again, for what had it was swept.
	// Nobody would read what it wrote there.
	if newest, err := s.newest(ctx, namespace, kind); err != nil || newest > generation {
		return cmp.Or(err, fmt.Errorf("%s: %w: there is generation %d", key, ErrDiffers, newest))
	}
	if err := s.putSame(ctx, key, data, limit); err != nil {
		return err
	}
	s.sweep(ctx, generationPrefix(namespace, kind), generation)
	return nil
}

// sweep removes versions long before a generation. Somebody may be about to read the last few. And
// who is about to write one, and has made sure that it will be the newest, must not find its name
// free because so many others were quicker. Those that cannot be removed are in nobody's way.
func (s *Store) sweep(ctx context.Context, prefix string, generation uint64) {
	if generation <= keptGenerations {
		return
	}
	// "." and what follows it come after the digits alone
	before := GenerationName(generation-keptGenerations) + ".json"
	removed := 0
	for name, err := range s.objects.List(ctx, prefix, before) {
		if _, ok := generationOf(name); err != nil || removed == sweptGenerations {
			return
		} else if !ok {
			continue
		}
		if err := s.objects.Remove(ctx, prefix+name); err != nil {
			return
		}
		removed++
	}
}

func generationPrefix(namespace, kind string) string { return namespace + "/" + kind + "/" }

func generationKey(namespace, kind string, generation uint64) string {
	return generationPrefix(namespace, kind) + GenerationName(generation) + ".json"
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
