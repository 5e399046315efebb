package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/cron"
	"github.com/ktaudit/ktaudit/jobs/begun"
)

// begunNote is what is on record of a time that a backfill was begun for.
type begunNote struct {
	// the last epoch that was history then; 0: it was not begun, only first seen to be asked for
	Until uint64 `json:"until"`
}

// due returns the last time of a backfill's schedule that has come, if nothing was done about it
// yet.
func (f *backfill) due(now time.Time) (last time.Time, isDue bool) {
	if f.schedule == nil {
		return time.Time{}, false
	}
	last = cron.Last(f.schedule, now.UTC())
	return last, !last.IsZero() && !last.Equal(f.begun)
}

// beginIfDue begins a backfill that waits for its times, for each of them once, by whichever
// scheduler comes first: it puts the time on record in the audit store, with the epoch that history
// ends with. All schedulers then work until every epoch up to that one has a verdict.
//
//   - Replicas agree, for they go by what is on record, which is written once.
//   - A time that came while no scheduler was there is not on record, but one before it is: it is
//     begun now. Of several, the last.
//   - A restart in the middle finds the time on record, and goes on to the same end, whatever
//     Redis has kept. A crash before the record leaves nothing begun, so that whoever comes next
//     begins; after it, that is a restart in the middle.
//   - With nothing on record the backfill is new. It was not asked for when its last time came, so
//     it waits for the next one.
//   - A scheduler whose clock is ahead begins early by as much, for all. One that is behind, and
//     starts in just that moment, finds a time on record that has not come by its clock, and
//     begins the one before it: to the same end, or nearly.
func (b *backfiller) beginIfDue(ctx context.Context, f *backfill, now time.Time, end uint64) error {
	last, isDue := f.due(now)
	if !isDue {
		return nil
	}
	record := begun.Of(b.config.Store, b.config.Namespace, f.name())
	times, err := record.Times(ctx)
	if err != nil {
		return fmt.Errorf("times of backfill %s: %w", f.name(), err)
	}
	var note begunNote
	if isNew := len(times) == 0; !isNew && !slices.ContainsFunc(times, last.Equal) {
		if !b.progress.searched() {
			return nil // the end of history is not known
		}
		note.Until = end
	}
	if note, err = putBegun(ctx, record, last, note); err != nil {
		return fmt.Errorf("beginning backfill %s for %s: %w", f.name(), last.Format(time.RFC3339), err)
	}
	f.begin(last, note.Until)
	for _, t := range times {
		if t.Before(last) {
			err = errors.Join(err, record.Remove(ctx, t))
		}
	}
	return err
}

// begin takes up what is on record of a time: the backfill runs up to an epoch, or waits for its
// next time if that is 0. What was missing is searched for again.
func (f *backfill) begin(due time.Time, until uint64) {
	f.begun, f.until, f.state = due, until, waiting
	if until > 0 {
		f.state = running
	}
	f.forgetGaps()
}

// putBegun puts a time on record, and returns what is on record of it.
func putBegun(ctx context.Context, record begun.Record, due time.Time, note begunNote) (begunNote, error) {
	data, err := json.Marshal(note)
	if err != nil {
		return note, err
	}
	if data, err = record.Put(ctx, due, data); err != nil {
		return note, err
	}
	return note, json.Unmarshal(data, &note)
}

// name is what the backfill is known by in the audit store. A plan that was changed is a new one.
func (f *backfill) name() string {
	to := "newest"
	if f.To != 0 {
		to = fmt.Sprint(f.To)
	}
	return fmt.Sprintf("%d-%s-%.4x", f.From, to, sha256.Sum256([]byte(f.Cron)))
}
