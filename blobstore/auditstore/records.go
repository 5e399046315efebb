package auditstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/ktaudit/ktaudit/internal/writeonce"
	"github.com/ktaudit/ktaudit/verdict"
)

// records are small objects of a namespace, in folders below one of its own. They are created once
// and never changed; their names are plain segments, as namespaces are.
type records struct {
	store             *Store
	namespace, folder string
}

// create writes an object, once; any that is there stays.
func (r records) create(ctx context.Context, data []byte, parts ...string) (created bool, err error) {
	key, err := r.key(parts...)
	if err != nil {
		return false, err
	}
	if len(data) > MaxNoticeBytes {
		return false, fmt.Errorf("%s: %d bytes, the limit is %d", key, len(data), MaxNoticeBytes)
	}
	err = r.store.objects.Put(ctx, key, data)
	if errors.Is(err, writeonce.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

func (r records) read(ctx context.Context, parts ...string) ([]byte, error) {
	key, err := r.key(parts...)
	if err != nil {
		return nil, err
	}
	return r.store.get(ctx, key, MaxNoticeBytes)
}

// remove takes an object away; one that is not there is no error.
func (r records) remove(ctx context.Context, parts ...string) error {
	key, err := r.key(parts...)
	if err != nil {
		return err
	}
	return r.store.objects.Remove(ctx, key)
}

// names yields the names of a folder's objects in the order of their keys. Anything else there is
// passed over.
func (r records) names(ctx context.Context, parts ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for file, err := range (Folder{r}).Names(ctx, "", parts...) {
			name, isJSON := strings.CutSuffix(file, ".json")
			if err == nil && (!isJSON || verdict.CheckName("name", name) != nil) {
				continue
			}
			if !yield(name, err) || err != nil {
				return
			}
		}
	}
}

// firstNames returns the first names of a folder, and whether there are more.
func (r records) firstNames(ctx context.Context, limit int, parts ...string) (names []string, more bool, err error) {
	for name, err := range r.names(ctx, parts...) {
		if err != nil {
			return nil, false, err
		}
		if len(names) == limit {
			return names, true, nil
		}
		names = append(names, name)
	}
	return names, false, nil
}

func (r records) key(parts ...string) (string, error) {
	prefix, err := r.prefix(parts...)
	return strings.TrimSuffix(prefix, "/") + ".json", err
}

func (r records) prefix(parts ...string) (string, error) {
	if err := verdict.CheckName("namespace", r.namespace); err != nil {
		return "", err
	}
	for _, part := range parts {
		if err := verdict.CheckName("part of a notice's key", part); err != nil {
			return "", err
		}
	}
	return strings.Join(append([]string{r.namespace, r.folder}, parts...), "/") + "/", nil
}
