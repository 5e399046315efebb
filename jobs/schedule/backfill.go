package schedule

import (
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/cron"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// backfillState is what a backfill does now.
type backfillState int

const (
	waiting backfillState = iota // for its next time, or for somebody to read which is on record
	running                      // until every epoch that was history when it began has a verdict
)

// backfill is a part of a log's history. What it remembers saves listings: after a restart each
// shard that is not sealed is listed once, and from then on only those that are not complete.
type backfill struct {
	BackfillPlan
	except []epochset.Range // what other backfills of the log are for

	schedule cron.Schedule // nil: it runs always
	state    backfillState
	// the last time that it was due, which is on record; zero: nobody has read the record yet
	begun time.Time
	until uint64 // the end of history when it was begun

	firstOpen uint64              // the lowest shard that is not complete
	complete  map[uint64]struct{} // shards above it that are
	// by shard that is not complete: the epochs whose verdicts were checked
	checked map[uint64]*epochset.Set

	lowest      uint64    // epoch without a verdict, 0 if there was none
	lowestSince time.Time // when it was first found to be the lowest

	// what the log has not published of it. Those epochs have no place in the window or on the
	// queue, so that history goes on behind them; after a restart they are found again.
	gaps      frontier.Gaps
	published epochset.Set         // epochs without a verdict that the log has
	explored  time.Time            // when epochs were last located in the log
	exploring bool                 // that found gaps or closed some, and there may be more
	noticed   map[uint64]gapNotice // by first epoch of a gap
}

// gapNotice is what is known of the first epoch of a gap.
type gapNotice struct {
	absence frontier.Absence
	located time.Time // when it was last looked for
	alerted bool      // an alert was raised
}

// newBackfills makes a log's backfills: those that were asked for, and one for what these leave
// out.
func newBackfills(c Config) ([]*backfill, error) {
	var all []*backfill
	rest := &backfill{BackfillPlan: BackfillPlan{From: c.First, Window: c.Window}}
	for _, plan := range c.Backfills {
		f := &backfill{BackfillPlan: plan}
		f.From = max(f.From, c.First)
		if f.To != 0 && f.To < f.From {
			return nil, fmt.Errorf("%s: backfill to epoch %d ends before it begins, with %d", c.Namespace, f.To, f.From)
		}
		if f.Cron != "" {
			var err error
			if f.schedule, err = cron.Parse(f.Cron); err != nil {
				return nil, fmt.Errorf("%s: backfill: cron %q: %w", c.Namespace, f.Cron, err)
			}
		}
		rest.except = append(rest.except, epochset.Range{From: f.From, To: f.To})
		all = append(all, f)
	}
	all = append(all, rest)
	for _, f := range all {
		if f.Window <= 0 {
			return nil, fmt.Errorf("%s: a backfill from epoch %d has no window", c.Namespace, f.From)
		}
		if f.schedule == nil {
			f.state = running
		}
		f.firstOpen = f.From / verdict.EpochsPerShard
		f.complete, f.checked = map[uint64]struct{}{}, map[uint64]*epochset.Set{}
	}
	return all, nil
}

// last returns the last epoch of the backfill while history goes to end.
func (f *backfill) last(end uint64) uint64 {
	if f.schedule != nil {
		end = min(end, f.until)
	}
	if f.To != 0 {
		end = min(end, f.To)
	}
	return end
}

// missing returns the epochs of a shard that are the backfill's, have no verdict, and may have been
// published.
func (f *backfill) missing(shard uint64, judged []uint64, last uint64) []uint64 {
	from, to := verdict.ShardRange(shard)
	from, to = max(f.From, from), min(last, to)
	var missing []uint64
	for _, epoch := range epochset.Without(from, to, judged) {
		if !f.excepts(epoch) && !f.gaps.Has(epoch) {
			missing = append(missing, epoch)
		}
	}
	return missing
}

// excepts reports whether an epoch is another backfill's.
func (f *backfill) excepts(epoch uint64) bool {
	for _, r := range f.except {
		if r.From <= epoch && (r.To == 0 || epoch <= r.To) {
			return true
		}
	}
	return false
}

// exceptsShard reports whether all of a shard is another backfill's.
func (f *backfill) exceptsShard(shard uint64) bool {
	from, to := verdict.ShardRange(shard)
	from = max(f.From, from)
	for _, r := range f.except {
		if r.From <= from && (r.To == 0 || to <= r.To) {
			return true
		}
	}
	return false
}

// passComplete goes on to the lowest shard that is not complete.
func (f *backfill) passComplete() {
	for {
		if _, complete := f.complete[f.firstOpen]; !complete {
			return
		}
		delete(f.complete, f.firstOpen)
		f.firstOpen++
	}
}

// skip passes over shards that are complete, from first to last.
func (f *backfill) skip(first, last uint64) {
	for shard := max(first, f.firstOpen); shard <= last; shard++ {
		f.complete[shard] = struct{}{}
	}
	f.passComplete()
}

// finish ends a run: all that was history when it began has a verdict. One without times goes on
// for ever, with what becomes history.
func (f *backfill) finish() {
	if f.schedule != nil {
		f.state = waiting
	}
}
