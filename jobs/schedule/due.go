package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/robfig/cron/v3"
)

// longestWait is more than lies between two times of any schedule: 29 February may take eight years.
const longestWait = 10 * 366 * 24 * time.Hour

// begunNote is what is on record of a time that a backfill was begun for.
type begunNote struct {
	Until uint64 `json:"until"` // the last epoch that was history then; 0: it was not begun, only first seen to be asked for
}

// due says whether a backfill has something to do. One that waits for its times is begun for each of them once, by whichever
// scheduler comes first: it puts the time on record in the audit store, with the epoch that history ends with. All schedulers then
// work until every epoch up to that one has a verdict.
//
//   - Replicas agree, for they go by what is on record, which is written once.
//   - A time that came while no scheduler was there is not on record, but one before it is: it is begun now. Of several, the last.
//   - A restart in the middle finds the time on record, and goes on to the same end, whatever Redis has kept. A crash before the
//     record leaves nothing begun, so that whoever comes next begins; after it, that is a restart in the middle.
//   - With nothing on record the backfill is new. It was not asked for when its last time came, so it waits for the next one.
//   - A scheduler whose clock is ahead begins early by as much, for all. One that is behind, and starts in just that moment, finds a
//     time on record that has not come by its clock, and begins the one before it: to the same end, or nearly.
func (l *scheduledLog) due(ctx context.Context, b *backfill, now time.Time, end uint64) (bool, error) {
	if b.schedule == nil {
		return true, nil
	}
	last := lastTime(b.schedule, now.UTC())
	if last.IsZero() || last.Equal(b.begun) {
		return b.running, nil
	}
	record := l.Store.Begun(l.Namespace, b.name())
	times, err := record.Times(ctx)
	if err != nil {
		return false, fmt.Errorf("times of backfill %s: %w", b.name(), err)
	}
	var note begunNote
	if isNew := len(times) == 0; !isNew && !slices.ContainsFunc(times, last.Equal) {
		if !l.followed.Load() {
			return b.running, nil // the end of history is not known
		}
		note.Until = end
	}
	if note, err = putBegun(ctx, record, last, note); err != nil {
		return false, fmt.Errorf("beginning backfill %s for %s: %w", b.name(), last.Format(time.RFC3339), err)
	}
	b.begun, b.until, b.running = last, note.Until, note.Until > 0
	b.forgetGaps()
	for _, t := range times {
		if t.Before(last) {
			err = errors.Join(err, record.Remove(ctx, t))
		}
	}
	return b.running, err
}

// putBegun puts a time on record, and returns what is on record of it.
func putBegun(ctx context.Context, record auditstore.Begun, due time.Time, note begunNote) (begunNote, error) {
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
func (b *backfill) name() string {
	to := "newest"
	if b.To != 0 {
		to = fmt.Sprint(b.To)
	}
	return fmt.Sprintf("%d-%s-%.4x", b.From, to, sha256.Sum256([]byte(b.Cron)))
}

// parseCron reads five fields or a word. The cron package's parser panics on a time zone without times, and none is wanted.
func parseCron(text string) (cron.Schedule, error) {
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		return nil, errors.New("times are in UTC, and a time zone cannot be given")
	}
	schedule, err := cron.ParseStandard(text)
	if err == nil && schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		err = errors.New("it never comes")
	}
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok {
		schedule = multiples(every.Delay)
	}
	return schedule, err
}

// multiples is the schedule of @every: the same times for everyone, whenever they started.
type multiples time.Duration

// Next returns the first time after t.
func (m multiples) Next(t time.Time) time.Time {
	return t.Truncate(time.Duration(m)).Add(time.Duration(m))
}

// lastTime returns the last time of a schedule that has come; zero if there was none. It looks from further and further back.
func lastTime(s cron.Schedule, now time.Time) time.Time {
	for back := time.Minute; back < 2*longestWait; back *= 2 {
		last := s.Next(now.Add(-back))
		if last.IsZero() || last.After(now) {
			continue
		}
		for next := s.Next(last); !next.IsZero() && !next.After(now); next = s.Next(last) {
			last = next
		}
		return last
	}
	return time.Time{}
}
