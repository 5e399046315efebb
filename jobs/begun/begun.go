package begun

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// Record is what is remembered of a task. Its layout is
//
//	{namespace}/schedule/{task}/{due, Unix seconds, 12 digits}.json
//
// A time is put there once and never changed. Whoever puts one removes those before it, so that the
// folder stays small for years.
type Record struct {
	files auditstore.Files
	task  string
}

// Of returns what is remembered of a task, whose name is a plain segment like a namespace. Both are
// checked by each call.
func Of(s *auditstore.Store, namespace, task string) Record {
	return Record{s.Files(namespace, "schedule"), task}
}

// Times returns the times on record, ascending, by one listing.
func (r Record) Times(ctx context.Context) ([]time.Time, error) {
	if err := verdict.CheckName("task", r.task); err != nil {
		return nil, err
	}
	var times []time.Time
	for name, err := range r.files.Names(ctx, r.task, "") {
		if err != nil {
			return nil, err
		}
		name, isJSON := strings.CutSuffix(name, ".json")
		if seconds, ok := verdict.ParsePadded(name, 12); ok && isJSON {
			times = append(times, time.Unix(int64(seconds), 0).UTC())
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times, nil
}

// Put records that a time was begun, once, and returns the note on record: the caller's, or that of
// whoever was first. It has at most auditstore.MaxNoticeBytes.
func (r Record) Put(ctx context.Context, due time.Time, note []byte) (recorded []byte, err error) {
	name, err := r.name(due)
	if err != nil {
		return nil, err
	}
	return r.files.Put(ctx, name, note, auditstore.MaxNoticeBytes)
}

// Remove takes a time off the record.
func (r Record) Remove(ctx context.Context, due time.Time) error {
	name, err := r.name(due)
	if err != nil {
		return err
	}
	return r.files.Remove(ctx, name)
}

func (r Record) name(due time.Time) (string, error) {
	if err := verdict.CheckName("task", r.task); err != nil {
		return "", err
	}
	seconds := due.Unix()
	if seconds < 0 || seconds > 999_999_999_999 {
		return "", fmt.Errorf("%s: %v is no time that a task is due", r.task, due)
	}
	return fmt.Sprintf("%s/%012d.json", r.task, seconds), nil
}
