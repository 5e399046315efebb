package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/robfig/cron/v3"
)

const (
	// turn is how many epochs one backfill puts on the queue before the next one's turn comes.
	turn = 100
	// maxUnlisted is with how many shards that cannot be listed it is the audit store's trouble, and not theirs.
	maxUnlisted = 8
)

// backfill brings a piece of history to an end. What it remembers saves listings: after a restart each shard that is not sealed is
// listed once, and from then on only those that are not complete.
type backfill struct {
	BackfillPlan
	except []epochset.Range // what other backfills of the log are for

	schedule cron.Schedule // nil: always
	begun    time.Time     // the last time that it was due, which is on record; zero: nobody has looked yet
	running  bool          // it was due, and is not through
	until    uint64        // the end of history when it was begun

	low      uint64                   // the lowest shard that is not complete
	complete map[uint64]struct{}      // shards above it that are
	checked  map[uint64]*epochset.Set // by shard that was seen not to be complete: the epochs whose verdicts were looked at

	lowest      uint64    // of its open epochs, 0 if there was none
	lowestSince time.Time // when it was first seen to be the lowest

	gaps     gaps
	found    epochset.Set         // open epochs that the log has
	explored time.Time            // when the log was last asked for some
	moving   bool                 // that brought something to light, and there may be more
	told     map[uint64]time.Time // by first epoch of a gap: when it was first seen, zero once people were told
}

// newBackfills makes a log's backfills: those that were asked for, and one for what these leave out.
func newBackfills(s Config) ([]*backfill, error) {
	var all []*backfill
	rest := &backfill{BackfillPlan: BackfillPlan{From: s.First}}
	for _, plan := range s.Backfills {
		b := &backfill{BackfillPlan: plan}
		b.From = max(b.From, s.First)
		if b.To != 0 && b.To < b.From {
			return nil, fmt.Errorf("%s: backfill to epoch %d ends before it begins, with %d", s.Namespace, b.To, b.From)
		}
		if b.Cron != "" {
			var err error
			if b.schedule, err = parseCron(b.Cron); err != nil {
				return nil, fmt.Errorf("%s: backfill: cron %q: %w", s.Namespace, b.Cron, err)
			}
		}
		rest.except = append(rest.except, epochset.Range{From: b.From, To: b.To})
		all = append(all, b)
	}
	all = append(all, rest)
	for _, b := range all {
		if b.Window <= 0 {
			b.Window = worker.DefaultWindow
		}
		b.low = b.From / verdict.EpochsPerShard
		b.complete, b.checked = map[uint64]struct{}{}, map[uint64]*epochset.Set{}
	}
	return all, nil
}

// backfillRound puts the first epochs of each backfill that have no verdict on the queue, as many as its window holds.
func (l *scheduledLog) backfillRound(ctx context.Context, now time.Time) (err error) {
	followed := l.followed.Load() // before the head is asked for
	end := l.endOfHistory()
	if end == 0 && !followed {
		return nil // there may be history, of which nothing is known yet
	}
	defer func() { l.historyFailure.Store(&err) }()
	if end == 0 {
		return nil
	}
	if err := l.skipSealed(ctx); err != nil {
		return err
	}
	find := func() ([][]uint64, error) { return l.openHistory(ctx, now, end) }
	var first error
	if l.handedOut == 0 { // and is there something now? else the queue is of no interest
		lists, err := find()
		if len(lists) == 0 {
			return errors.Join(err, l.unqueue(ctx))
		}
		first = err
	}
	return errors.Join(first, l.enqueue(ctx, queue.Backfill, find), l.unqueue(ctx))
}

// openHistory returns, for each backfill that is due, what is to be on the queue.
func (l *scheduledLog) openHistory(ctx context.Context, now time.Time, end uint64) ([][]uint64, error) {
	l.handedOut, l.more, l.moving = 0, false, false
	var lists [][]uint64
	var errs []error
	for _, b := range l.history {
		due, err := l.due(ctx, b, now, end)
		if err != nil || !due {
			errs = append(errs, err)
			continue
		}
		open, err := l.openOf(ctx, b, end)
		errs = append(errs, err)
		through := len(open) == 0 && err == nil && end >= b.until // else history is not known to its end yet
		l.more = l.more || len(open) == b.Window
		open, err = l.explore(ctx, b, now, open)
		untold, tellErr := l.tellGaps(ctx, b, now)
		errs = append(errs, err, tellErr, l.tellStuckHistory(ctx, b, now, open))
		if through && !untold && !b.moving {
			b.running = false
		}
		l.moving = l.moving || b.moving
		if len(open) > 0 {
			lists = append(lists, open)
			l.handedOut += int64(len(open))
		}
	}
	return lists, errors.Join(errs...)
}

// tellStuckHistory raises an alert when the lowest open epoch of a backfill has been tried in vain for too long: its jobs fail, or the
// log has published it and lacks something else, such as its signed digest. One such alert at a time is enough. Followers resolve it.
func (l *scheduledLog) tellStuckHistory(ctx context.Context, b *backfill, now time.Time, open []uint64) error {
	lowest := uint64(0)
	if len(open) > 0 {
		lowest = open[0]
	}
	if lowest != b.lowest {
		b.lowest, b.lowestSince = lowest, now
	}
	late := func(after time.Duration) bool { return lowest != 0 && after > 0 && now.Sub(b.lowestSince) >= after }
	if !late(l.TransientAfter) && !late(l.BacklogAge) {
		return nil
	}
	isSuch := isStuck
	var a alert.Alert
	switch fault, why := l.redis.LastAttempt(l.Namespace, lowest); {
	case fault && late(l.TransientAfter):
		a = alert.OfTransient(l.Namespace, lowest, b.lowestSince, why)
	case why != nil && !fault && late(l.BacklogAge) && b.found.Has(lowest):
		a = alert.OfBacklog(l.Namespace, lowest, b.lowestSince)
		a.Detail = why.Error()
		isSuch = func(a alert.Alert) bool { return a.Kind == alert.Backlog }
	default:
		return nil
	}
	lasting, err := l.incidents.Outbox().Unresolved(ctx, l.Namespace, l.conditions)
	if err != nil || slices.ContainsFunc(lasting, isSuch) {
		return err
	}
	return l.incidents.Raise(ctx, a)
}

// endOfHistory is the last epoch that is history; 0 while there is none.
func (l *scheduledLog) endOfHistory() uint64 {
	head := l.head.Load()
	if head < l.First {
		return 0
	}
	if from := l.recentFrom(head); from > l.First {
		return from - 1
	}
	return 0
}

// last is the last epoch of the backfill while history goes to end.
func (b *backfill) last(end uint64) uint64 {
	if b.schedule != nil {
		end = min(end, b.until)
	}
	if b.To != 0 {
		end = min(end, b.To)
	}
	return end
}

// openOf returns the first epochs of a backfill without a verdict that are in no gap, as many as its window holds. On its way it
// looks at the verdicts that are new.
func (l *scheduledLog) openOf(ctx context.Context, b *backfill, end uint64) ([]uint64, error) {
	var open []uint64
	var errs []error
	last := b.last(end)
	unlisted := 0
	for shard := b.low; shard <= last/verdict.EpochsPerShard && len(open) < b.Window && unlisted < maxUnlisted; {
		var shards []uint64 // that are listed at once
		for ; shard <= last/verdict.EpochsPerShard && len(shards) < min(report.ListAhead, 1+b.Window/verdict.EpochsPerShard); shard++ {
			if _, complete := b.complete[shard]; !complete && !b.exceptsShard(shard) {
				shards = append(shards, shard)
			}
		}
		listings, failures := make([][]uint64, len(shards)), make([]error, len(shards))
		var group sync.WaitGroup
		for i, shard := range shards {
			group.Go(func() { listings[i], failures[i] = l.Store.Epochs(ctx, l.Namespace, shard) })
		}
		group.Wait()
		for i, shard := range shards {
			if failures[i] != nil {
				errs = append(errs, fmt.Errorf("verdicts of %s: %w", l.Namespace, failures[i]))
				unlisted++
				continue
			}
			missing := b.missing(shard, listings[i], last)
			open = append(open, missing...)
			// A verdict that cannot be read keeps its shard open, but not the later ones from being worked on, and neither does a
			// shard that cannot be listed.
			errs = append(errs, l.listed(ctx, b, shard, listings[i], missing, last))
		}
	}
	return open[:min(len(open), b.Window)], errors.Join(errs...)
}

// missing returns the epochs of a shard that are the backfill's, have no verdict, and may have been published.
func (b *backfill) missing(shard uint64, judged []uint64, last uint64) []uint64 {
	from, to := max(b.From, shard*verdict.EpochsPerShard), min(last, shard*verdict.EpochsPerShard+verdict.EpochsPerShard-1)
	var missing []uint64
	for _, epoch := range epochset.Without(from, to, judged) {
		if !b.excepts(epoch) && !b.gaps.has(epoch) {
			missing = append(missing, epoch)
		}
	}
	return missing
}

func (b *backfill) excepts(epoch uint64) bool {
	for _, r := range b.except {
		if r.From <= epoch && (r.To == 0 || epoch <= r.To) {
			return true
		}
	}
	return false
}

// exceptsShard says whether all of a shard is another backfill's.
func (b *backfill) exceptsShard(shard uint64) bool {
	from, to := max(b.From, shard*verdict.EpochsPerShard), shard*verdict.EpochsPerShard+verdict.EpochsPerShard-1
	for _, r := range b.except {
		if r.From <= from && (r.To == 0 || to <= r.To) {
			return true
		}
	}
	return false
}

// listed takes in what a shard was found to hold: it looks at the verdicts that are new, and notes whether the shard has all that
// the backfill will ever want in it. The verdicts of a shard that was complete when it was first seen are old.
func (l *scheduledLog) listed(ctx context.Context, b *backfill, shard uint64, judged, missing []uint64, last uint64) error {
	complete := len(missing) == 0 && (last >= shard*verdict.EpochsPerShard+verdict.EpochsPerShard-1 || last == b.To)
	checked := b.checked[shard]
	if checked == nil && !complete {
		checked = &epochset.Set{}
		b.checked[shard] = checked
	}
	if checked != nil {
		if err := l.check(ctx, judged, checked); err != nil {
			return err
		}
	}
	if !complete {
		return nil
	}
	delete(b.checked, shard)
	b.found.RemoveShard(shard)
	b.complete[shard] = struct{}{}
	b.passComplete()
	return nil
}

// passComplete goes on to the lowest shard that is not complete.
func (b *backfill) passComplete() {
	for {
		if _, complete := b.complete[b.low]; !complete {
			return
		}
		delete(b.complete, b.low)
		b.low++
	}
}

// hungry says whether the workers are about to be through with the history on the queue, while there is more.
func (l *scheduledLog) hungry(ctx context.Context) bool {
	switch {
	case l.moving:
		return true
	case l.handedOut == 0:
		began := !l.begun && l.endOfHistory() > 0
		l.begun = l.begun || began
		return began
	case !l.more:
		return false
	}
	waiting, err := l.redis.Waiting(ctx, l.Namespace, queue.Backfill)
	if err != nil {
		return false // the next round will say so
	}
	return waiting < l.handedOut/2
}

// inTurn sends the epochs of several lists, some of each at a time.
func inTurn(lists [][]uint64, send func(uint64) error) error {
	for sent := true; sent; {
		sent = false
		for i, list := range lists {
			n := min(turn, len(list))
			for _, epoch := range list[:n] {
				if err := send(epoch); err != nil {
					return err
				}
			}
			lists[i] = list[n:]
			sent = sent || n > 0
		}
	}
	return nil
}
