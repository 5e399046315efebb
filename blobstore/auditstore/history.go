package auditstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/verdict"
)

// maxHistoryBytes caps a history. Ten million epochs with a few rejections take 700 KB.
const maxHistoryBytes = 32 << 20

// History returns what is sealed of a namespace; empty, of generation 0, if nothing is. With an
// ErrCorrupt comes the generation of the one that cannot be read, so that another can be written
// after it.
func (s *Store) History(ctx context.Context, namespace string) (verdict.History, error) {
	h := verdict.History{Schema: verdict.Schema, Namespace: namespace}
	generation, err := s.readNewest(ctx, namespace, histories, maxHistoryBytes, func(key string, generation uint64, data []byte) error {
		var read verdict.History
		err := decodeLine(key, data, &read, &read.Schema, func() error {
			if read.Namespace != namespace || read.Generation != generation {
				return fmt.Errorf("history %d of %q", read.Generation, read.Namespace)
			}
			return read.Validate()
		})
		if err == nil {
			h = read
		}
		return err
	})
	h.Generation = generation
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
	return h, s.putNewest(ctx, h.Namespace, histories, h.Generation, data, maxHistoryBytes)
}
