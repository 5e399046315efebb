package auditstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// Begun is the part of the audit store that remembers which of the times that a repeated task was
// due it was begun for, so that one that came while nobody was there can be caught up on. Its
// layout is
//
//	{namespace}/schedule/{task}/{due, Unix seconds, 12 digits}.json
//
// A time is put there once and never changed. Whoever puts one removes those before it, so that the
// folder stays small for years.
type Begun struct {
	records
	task string
}

// Begun is what is remembered of a task, whose name is a plain segment like a namespace. Both are
// checked by each call.
func (s *Store) Begun(namespace, task string) Begun {
	return Begun{records{s, namespace, "schedule"}, task}
}

// Times returns the times on record, ascending, by one listing.
func (b Begun) Times(ctx context.Context) ([]time.Time, error) {
	prefix, err := b.prefix(b.task)
	if err != nil {
		return nil, err
	}
	seconds, err := b.store.numbers(ctx, prefix, "", func(name string) (uint64, bool) {
		name, isJSON := strings.CutSuffix(name, ".json")
		n, ok := verdict.ParsePadded(name, 12)
		return n, ok && isJSON
	})
	var times []time.Time
	for _, s := range seconds {
		times = append(times, time.Unix(int64(s), 0).UTC())
	}
	return times, err
}

// Put records that a time was begun, once, and returns the note on record: the caller's, or that of
// whoever was first.
func (b Begun) Put(ctx context.Context, due time.Time, note []byte) (recorded []byte, err error) {
	name, err := b.name(due)
	if err != nil {
		return nil, err
	}
	return Folder{b.records}.Put(ctx, note, b.task, name)
}

// Remove takes a time off the record.
func (b Begun) Remove(ctx context.Context, due time.Time) error {
	name, err := b.name(due)
	if err != nil {
		return err
	}
	return b.remove(ctx, b.task, name)
}

func (b Begun) name(due time.Time) (string, error) {
	seconds := due.Unix()
	if seconds < 0 || seconds > 999_999_999_999 {
		return "", fmt.Errorf("%s: %v is no time that a task is due", b.task, due)
	}
	return fmt.Sprintf("%012d", seconds), nil
}
