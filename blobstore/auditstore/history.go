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

const (
	// maxHistoryBytes caps a history. Ten million epochs with a few rejections take 700 KB.
	maxHistoryBytes = 32 << 20
	// minBraceBytes is less than anything in braces takes in a history: a span or a rejection.
	minBraceBytes = 20
	// keptHistories is how many histories are kept before the newest.
	keptHistories = 16
	// sweptHistories is how many outdated histories are removed each time that a new one is
	// written.
	sweptHistories = 16
)

// History returns what is sealed of a namespace; empty, of generation 0, if nothing is. With an
// ErrCorrupt comes the generation of the one that cannot be read, so that another can be written
// after it.
func (s *Store) History(ctx context.Context, namespace string) (verdict.History, error) {
	h := verdict.History{Schema: verdict.Schema, Namespace: namespace}
	err := error(nil)
	for range 3 {
		if h.Generation, err = s.newestHistory(ctx, namespace); err != nil || h.Generation == 0 {
			return h, err
		}
		key := historyKey(namespace, h.Generation)
		var data []byte
		data, err = s.get(ctx, key, maxHistoryBytes)
		if errors.Is(err, ErrNotFound) {
			continue // removed since, for there are newer ones
		}
		if err != nil {
			return h, err
		}
		// What stands between two braces takes more room in memory than in the object.
		if len(data) < minBraceBytes*bytes.Count(data, []byte("{")) {
			return h, fmt.Errorf("%s: %w: %d bytes of braces", key, ErrCorrupt, len(data))
		}
		var read verdict.History
		err = decodeLine(key, data, &read, &read.Schema, func() error {
			if read.Namespace != namespace || read.Generation != h.Generation {
				return fmt.Errorf("history %d of %q", read.Generation, read.Namespace)
			}
			return read.Validate()
		})
		if err != nil {
			return h, err
		}
		return read, nil
	}
	return h, err
}

// newestHistory returns the generation of the newest history, 0 if there is none.
func (s *Store) newestHistory(ctx context.Context, namespace string) (uint64, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return 0, err
	}
	for name, err := range s.objects.list(ctx, historyPrefix(namespace), "") {
		if err != nil {
			return 0, err
		}
		if generation, ok := historyGeneration(name); ok {
			return generation, nil
		}
	}
	return 0, nil
}

// PutHistory records h as the generation after h.Generation, and returns it so. ErrDiffers if
// another writer was first: read the history again.
func (s *Store) PutHistory(ctx context.Context, h verdict.History) (verdict.History, error) {
	h.Schema = verdict.Schema
	h.Generation++
	key := historyKey(h.Namespace, h.Generation)
	if err := errors.Join(verdict.CheckKey(h.Namespace, h.Generation), h.Validate()); err != nil {
		return h, fmt.Errorf("%s: %w", key, err)
	}
	data, err := encodeLine(h)
	if err != nil {
		return h, err
	}
	// To a writer that was away for long the name may be free again, for what had it was swept.
	// Nobody would read what it wrote there.
	if newest, err := s.newestHistory(ctx, h.Namespace); err != nil || newest > h.Generation {
		return h, cmp.Or(err, fmt.Errorf("%s: %w: there is generation %d", key, ErrDiffers, newest))
	}
	if err := s.putSame(ctx, key, data, maxHistoryBytes); err != nil {
		return h, err
	}
	s.sweepHistory(ctx, h)
	return h, nil
}

// sweepHistory removes histories long before h. Somebody may be about to read the last few. And who
// is about to write one, and has made sure that it will be the newest, must not find its name free
// because so many others were quicker. Those that cannot be removed are in nobody's way.
func (s *Store) sweepHistory(ctx context.Context, h verdict.History) {
	if h.Generation <= keptHistories {
		return
	}
	prefix := historyPrefix(h.Namespace)
	before := strings.TrimPrefix(historyKey(h.Namespace, h.Generation-keptHistories), prefix)
	removed := 0
	for name, err := range s.objects.list(ctx, prefix, before) {
		if _, ok := historyGeneration(name); err != nil || removed == sweptHistories {
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

func historyPrefix(namespace string) string { return namespace + "/" + histories + "/" }

func historyKey(namespace string, generation uint64) string {
	return fmt.Sprintf("%s%012d.json", historyPrefix(namespace), uint64(verdict.MaxEpoch)-generation)
}

func historyGeneration(name string) (uint64, bool) {
	name, isJSON := strings.CutSuffix(name, ".json")
	n, ok := padded(name, 12)
	// the last would leave no name for another
	return verdict.MaxEpoch - n, ok && isJSON && n < verdict.MaxEpoch && n > 0
}
