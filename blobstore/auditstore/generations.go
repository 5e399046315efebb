package auditstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// A history of seals and a chain of names go on changing: each version is a new object, the next
// generation, and the newest counts. The names count down, so that a listing begins with the newest.

const (
	// keptGenerations is how many outdated versions are kept before the newest.
	keptGenerations = 16
	// sweptGenerations is how many outdated versions are removed each time that a new one is
	// written.
	sweptGenerations = 16
)

// newest returns the newest generation of a kind, 0 if there is none.
func (s *Store) newest(ctx context.Context, namespace, kind string) (uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return 0, err
	}
	for name, err := range s.objects.list(ctx, generationPrefix(namespace, kind), "") {
		if err != nil {
			return 0, err
		}
		if generation, ok := generationOf(name); ok {
			return generation, nil
		}
	}
	return 0, nil
}

// sweep removes versions long before a generation. Somebody may be about to read the last few. And
// who is about to write one, and has made sure that it will be the newest, must not find its name
// free because so many others were quicker. Those that cannot be removed are in nobody's way.
func (s *Store) sweep(ctx context.Context, namespace, kind string, generation uint64) {
	if generation <= keptGenerations {
		return
	}
	prefix := generationPrefix(namespace, kind)
	before := strings.TrimPrefix(generationKey(namespace, kind, generation-keptGenerations), prefix)
	removed := 0
	for name, err := range s.objects.list(ctx, prefix, before) {
		if _, ok := generationOf(name); err != nil || removed == sweptGenerations {
			return
		} else if !ok {
			continue
		}
		if err := s.objects.remove(ctx, prefix+name); err != nil {
			return
		}
		removed++
	}
}

func generationPrefix(namespace, kind string) string { return namespace + "/" + kind + "/" }

func generationKey(namespace, kind string, generation uint64) string {
	return fmt.Sprintf("%s%012d.json", generationPrefix(namespace, kind), uint64(verdict.MaxEpoch)-generation)
}

func generationOf(name string) (uint64, bool) {
	name, isJSON := strings.CutSuffix(name, ".json")
	n, ok := padded(name, 12)
	// the last would leave no name for another
	return verdict.MaxEpoch - n, ok && isJSON && n < verdict.MaxEpoch && n > 0
}
