package auditstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// maxHistoryBytes caps a history. Ten million epochs with a few rejections take 700 KB.
	maxHistoryBytes = 32 << 20
	// minBraceBytes is less than anything in braces takes in a history: a span or a rejection.
	minBraceBytes = 20
)

// History returns what is sealed of a namespace; empty, of generation 0, if nothing is. With an
// ErrCorrupt comes the generation of the one that cannot be read, so that another can be written
// after it.
func (s *Store) History(ctx context.Context, namespace string) (verdict.History, error) {
	h := verdict.History{Schema: verdict.Schema, Namespace: namespace}
	err := error(nil)
	for range 3 {
		if h.Generation, err = s.newest(ctx, namespace, histories); err != nil || h.Generation == 0 {
			return h, err
		}
		key := generationKey(namespace, histories, h.Generation)
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

// PutHistory records h as the generation after h.Generation, and returns it so. ErrDiffers if
// another writer was first: read the history again.
func (s *Store) PutHistory(ctx context.Context, h verdict.History) (verdict.History, error) {
	h.Schema = verdict.Schema
	h.Generation++
	key := generationKey(h.Namespace, histories, h.Generation)
	if err := errors.Join(verdict.CheckKey(h.Namespace, h.Generation), h.Validate()); err != nil {
		return h, fmt.Errorf("%s: %w", key, err)
	}
	data, err := encodeLine(h)
	if err != nil {
		return h, err
	}
	// To a writer that was away for long the name may be free again, for what had it was swept.
	// Nobody would read what it wrote there.
	if newest, err := s.newest(ctx, h.Namespace, histories); err != nil || newest > h.Generation {
		return h, cmp.Or(err, fmt.Errorf("%s: %w: there is generation %d", key, ErrDiffers, newest))
	}
	if err := s.putSame(ctx, key, data, maxHistoryBytes); err != nil {
		return h, err
	}
	s.sweep(ctx, h.Namespace, histories, h.Generation)
	return h, nil
}
