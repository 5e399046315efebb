package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
)

// backfillTick is how often a backfiller checks whether the workers are about to run out of work.
const backfillTick = time.Second

// maxUnlisted is with how many shards that cannot be listed it is the audit store that is in
// trouble, and not they.
const maxUnlisted = 8

// backfiller brings a log's history to an end, with a window of each backfill on the queue.
type backfiller struct {
	config    Config
	progress  *progress
	queue     jobQueue
	incidents incident.Recorder
	verdicts  verdictcheck.Checker
	log       zerolog.Logger

	backfills  []*backfill
	last       roundResult
	hadHistory bool // a round has found some
	sealsRead  bool // the backfills pass over what was sealed before this process started
	// notices are those of conditions that are open, by name, as they were read last.
	notices  map[string]alert.Alert
	patience time.Duration // for the log's answers on one backfill
}

// roundResult is what a round of history came to.
type roundResult struct {
	queued    int64 // how many epochs the backfills have on the queue
	more      bool  // a window was full: there are more
	foundGaps bool  // gaps were found or have closed, and a further search may find more
}

func newBackfiller(c Config, p *progress, q jobQueue, i incident.Recorder, log zerolog.Logger) (*backfiller, error) {
	backfills, err := newBackfills(c)
	return &backfiller{
		config: c, progress: p, queue: q, incidents: i, log: log,
		verdicts:  verdictcheck.Checker{Namespace: c.Namespace, Store: c.Store, Incidents: i},
		backfills: backfills, notices: map[string]alert.Alert{}, patience: frontier.AskTimeout,
	}, err
}

// run does a round each period, and sooner when the workers run out of work. Only an end of ctx
// ends it.
func (b *backfiller) run(ctx context.Context) {
	last := time.Time{}
	for ctx.Err() == nil {
		if time.Since(last) >= b.config.Poll-rand.N(b.config.Poll/4+1) || b.isWanted(ctx) {
			last = time.Now()
			work, cancel := context.WithTimeout(ctx, roundTimeout)
			end := observe.TracerOr(b.config.Tracer).Round(ctx, "backfill", b.config.Namespace)
			// which knows how much time has passed, whatever the clock was set to
			err := b.round(work, last)
			end(err)
			cancel()
			logFailure(ctx, b.log, err, "some epochs of history could not be put on the queue; the next round tries again")
		}
		_ = wait.For(ctx, min(backfillTick, b.config.Poll/4+1))
	}
}

// isWanted reports whether a round is wanted before its time: there is history at last, a search
// for gaps goes on, or the workers are about to be done with what is on the queue, while there is
// more.
func (b *backfiller) isWanted(ctx context.Context) bool {
	switch {
	case b.last.foundGaps:
		return true
	case b.last.queued == 0:
		return !b.hadHistory && b.progress.endOfHistory() > 0
	case !b.last.more:
		return false
	}
	waiting, err := b.queue.Waiting(ctx, b.config.Namespace, queue.Backfill)
	if err != nil {
		return false // the next round will say so
	}
	return waiting < b.last.queued/2
}

// round puts the first epochs of each backfill that have no verdict on the queue, as many as its
// window holds.
func (b *backfiller) round(ctx context.Context, now time.Time) error {
	searched := b.progress.searched() // before the newest epoch is asked for
	end := b.progress.endOfHistory()
	if end == 0 && !searched {
		return nil // there may be history, of which nothing is known yet
	}
	if end == 0 {
		b.progress.setHistoryResult(nil, time.Now())
		b.progress.setKeylessHistory(keyless{})
		return nil
	}
	b.hadHistory = true
	result, err := b.fill(ctx, now, end)
	result.foundGaps = result.foundGaps && err == nil
	b.last = result
	b.progress.setHistoryResult(err, time.Now())
	return err
}

// fill fills the windows of the backfills that are running, and takes what is missing off the
// queue.
func (b *backfiller) fill(ctx context.Context, now time.Time, end uint64) (roundResult, error) {
	result := b.last
	if err := b.skipSealed(ctx); err != nil {
		return result, err
	}
	find := func() (lists [][]uint64, err error) {
		lists, result, err = b.unjudged(ctx, now, end)
		return lists, err
	}
	var first error
	if b.last.queued == 0 { // and is there something now? else the queue is of no interest
		lists, err := find()
		if len(lists) == 0 {
			return result, errors.Join(err, b.dequeueGaps(ctx))
		}
		first = err
	}
	err := errors.Join(first, b.queue.enqueue(ctx, queue.Backfill, find))
	return result, errors.Join(err, b.dequeueGaps(ctx))
}

// unjudged returns, for each backfill that is running, what is to be on the queue.
func (b *backfiller) unjudged(ctx context.Context, now time.Time, end uint64) ([][]uint64, roundResult, error) {
	var result roundResult
	var lists [][]uint64
	var lowest keyless
	var errs []error
	for _, f := range b.backfills {
		if err := b.beginIfDue(ctx, f, now, end); err != nil {
			errs = append(errs, err)
			continue
		}
		if f.state != running {
			continue
		}
		epochs, err := b.unjudgedOf(ctx, f, end)
		errs = append(errs, err)
		// else history is not known to its end yet
		done := len(epochs) == 0 && err == nil && end >= f.until
		result.more = result.more || len(epochs) == f.Window
		pending := false
		err = within(ctx, b.patience, "looking for gaps in history", func(ctx context.Context) (err error) {
			var alertErr error
			epochs, err = b.explore(ctx, f, now, epochs)
			pending, alertErr = b.alertOnGaps(ctx, f, now)
			return errors.Join(err, alertErr)
		})
		errs = append(errs, err, b.alertOnStuck(ctx, f, now, epochs))
		if k := b.queue.lowestKeyless(epochs[:min(len(epochs), keylessLooks)]); lowest.epoch == 0 || k.epoch != 0 && k.epoch < lowest.epoch {
			lowest = k
		}
		if done && !pending && !f.exploring {
			f.finish()
		}
		result.foundGaps = result.foundGaps || f.exploring
		if len(epochs) > 0 {
			lists = append(lists, epochs)
			result.queued += int64(len(epochs))
		}
	}
	b.progress.setKeylessHistory(lowest)
	return lists, result, errors.Join(errs...)
}

// unjudgedOf returns the first epochs of a backfill without a verdict that are in no gap, as many
// as its window holds. On its way it checks the verdicts that are new.
func (b *backfiller) unjudgedOf(ctx context.Context, f *backfill, end uint64) ([]uint64, error) {
	var unjudged []uint64
	var errs []error
	last := f.last(end)
	unlisted := 0
	for shard := f.firstOpen; shard <= last/verdict.EpochsPerShard && len(unjudged) < f.Window && unlisted < maxUnlisted; {
		var shards []uint64 // that are listed at once
		for ; shard <= last/verdict.EpochsPerShard && len(shards) < min(report.ListAhead, 1+f.Window/verdict.EpochsPerShard); shard++ {
			if _, complete := f.complete[shard]; !complete && !f.exceptsShard(shard) {
				shards = append(shards, shard)
			}
		}
		listings, failures := make([][]uint64, len(shards)), make([]error, len(shards))
		var group sync.WaitGroup
		for i, shard := range shards {
			group.Go(func() { listings[i], failures[i] = b.config.Store.Epochs(ctx, b.config.Namespace, shard) })
		}
		group.Wait()
		for i, shard := range shards {
			if failures[i] != nil {
				errs = append(errs, fmt.Errorf("verdicts of %s: %w", b.config.Namespace, failures[i]))
				unlisted++
				continue
			}
			missing := f.missing(shard, listings[i], last)
			unjudged = append(unjudged, missing...)
			// A verdict that cannot be read keeps its shard open, but not the later ones from being
			// worked on, and neither does a shard that cannot be listed.
			errs = append(errs, b.takeIn(ctx, f, shard, listings[i], missing, last))
		}
	}
	return unjudged[:min(len(unjudged), f.Window)], errors.Join(errs...)
}

// takeIn takes in which verdicts a shard has: it checks those that are new, and notes whether the
// shard has all that the backfill will ever want in it. The verdicts of a shard that was complete
// when it was first listed are old.
func (b *backfiller) takeIn(ctx context.Context, f *backfill, shard uint64, judged, missing []uint64, last uint64) error {
	_, end := verdict.ShardRange(shard)
	complete := len(missing) == 0 && (last >= end || last == f.To)
	checked := f.checked[shard]
	if checked == nil && !complete {
		checked = &epochset.Set{}
		f.checked[shard] = checked
	}
	if checked != nil {
		if err := b.verdicts.Check(ctx, judged, checked); err != nil {
			return err
		}
	}
	if !complete {
		return nil
	}
	delete(f.checked, shard)
	f.published.RemoveShard(shard)
	f.complete[shard] = struct{}{}
	f.passComplete()
	return nil
}

// alertOnStuck raises an alert when the lowest epoch of a backfill without a verdict has been tried
// in vain for too long: its jobs fail, or the log has published it and lacks something else, such
// as its signed digest. One such alert at a time is enough. Followers resolve it.
func (b *backfiller) alertOnStuck(ctx context.Context, f *backfill, now time.Time, epochs []uint64) error {
	lowest := uint64(0)
	if len(epochs) > 0 {
		lowest = epochs[0]
	}
	if lowest != f.lowest {
		f.lowest, f.lowestSince = lowest, now
	}
	late := func(after time.Duration) bool { return lowest != 0 && after > 0 && now.Sub(f.lowestSince) >= after }
	if !late(b.config.TransientAfter) && !late(b.config.BacklogAge) {
		return nil
	}
	isSuch := isAboutJobs
	var a alert.Alert
	switch fault, why := b.queue.LastAttempt(b.config.Namespace, lowest); {
	case fault && late(b.config.TransientAfter):
		a = alert.OfTransient(b.config.Namespace, lowest, f.lowestSince, why)
	case why != nil && !fault && late(b.config.BacklogAge) && f.published.Has(lowest):
		a = alert.OfBacklog(b.config.Namespace, lowest, f.lowestSince)
		a.Detail = why.Error()
		isSuch = func(a alert.Alert) bool { return a.Kind == alert.Backlog }
	default:
		return nil
	}
	open, err := b.incidents.Outbox().Unresolved(ctx, b.config.Namespace, b.notices)
	if err != nil || slices.ContainsFunc(open, isSuch) {
		return err
	}
	return b.incidents.Raise(ctx, a)
}

// skipSealed has the backfills pass over the shards that are sealed, so that after a restart only
// the others are listed.
func (b *backfiller) skipSealed(ctx context.Context) error {
	if b.sealsRead {
		return nil
	}
	h, err := b.config.Store.History(ctx, b.config.Namespace)
	// Of one that is corrupt whoever seals next makes a new one; one of a later version says
	// nothing to this one.
	if err != nil && !auditstore.IsUnreadable(err) {
		return fmt.Errorf("history of seals of %s: %w", b.config.Namespace, err)
	}
	for _, f := range b.backfills {
		for _, span := range h.Spans {
			f.skip(span.First(), span.Last())
		}
	}
	b.sealsRead = true
	return nil
}
