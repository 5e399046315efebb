package retention

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

const (
	// passPause is the time between two passes; busyPause, while there is more to do than a pass
	// does.
	passPause, busyPause = 10 * time.Minute, time.Minute
	// clockGrace is how long nothing is removed after the start, and after the clock was set.
	// A clock that is wrong at the start of a machine has been put right by then, or somebody has
	// noticed.
	clockGrace = time.Hour
	// clockSlack is by how much the clock may seem to have been set between two passes because it
	// is kept right all the time.
	clockSlack = time.Minute
	// maxChecksPerPass is how many shards and old batches a pass checks before it leaves the
	// rest to the next one. The last shard is finished.
	maxChecksPerPass = 2000
	// recheckAfter is when a shard is looked at again that has batches which stay longer than
	// they have to.
	recheckAfter = 24 * time.Hour
	// passTimeout bounds a pass; what it left undone the next one does.
	passTimeout = 5 * time.Minute
	// removeAhead is how many batches are removed at once.
	removeAhead = 8
)

// Remover removes the archived batches of a log when they have been kept long enough.
//
// Removal is for ever, so a batch goes only if nothing at all is held against its epoch. The epoch
// and those before and after it are verified and go together, for the batches on both sides of a
// break are what shows it; there is no evidence on the epoch; the batch has the size that its
// verdict names; and both were there for the whole time. Whatever cannot be made out keeps a batch.
// One without a verdict may be a worker's that is about to write it.
//
// No clock of a worker's or a scheduler's makes a batch old. Its age is from when the store says
// that it was archived to what the store says the time is now. On local disk that is this machine's
// clock all the same, and so nothing is removed for a while after the clock was set.
//
// A crash leaves some batches removed and others not yet, which is what there was a moment before.
// Several schedulers remove the same ones: the second finds them gone. One who contradicts a
// verdict a moment after its batch went might have come a moment later as well.
type Remover struct {
	Config

	ClockGrace  time.Duration
	Pause, busy time.Duration
	clock       steadyClock
	// nextCheck says when something in a shard may be old enough. A shard that is not in it was
	// not looked at yet.
	nextCheck map[uint64]time.Time
}

// Config says what is removed, of which log. Namespace and Store must be set.
type Config struct {
	Namespace   string
	Store       *auditstore.Store
	Keep        time.Duration // 0: for ever
	First, Last uint64        // epochs of the log; Last is 0 if it goes on
	Metrics     observe.Metrics
	Log         zerolog.Logger
}

func New(c Config) *Remover {
	return &Remover{
		Config:     c,
		ClockGrace: clockGrace, Pause: passPause, busy: busyPause,
		clock: startClock(time.Now()), nextCheck: map[uint64]time.Time{},
	}
}

// Run removes what is due, again and again. Only an end of ctx ends it.
func (r *Remover) Run(ctx context.Context) {
	for r.Keep > 0 && ctx.Err() == nil {
		work, cancel := context.WithTimeout(ctx, passTimeout)
		more, err := r.pass(work)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.Log.Warn().Err(err).Msg("retention did not finish; the next pass tries again")
		}
		rest := r.Pause
		if more && err == nil {
			rest = r.busy
		}
		_ = wait.For(ctx, rest-rand.N(rest/4+1))
	}
}

// pass removes what is due, or the first part of it. One that finds nothing due costs a listing of
// the shards.
func (r *Remover) pass(ctx context.Context) (more bool, err error) {
	if !r.isClockSteady() {
		return false, nil
	}
	began := time.Now()
	shards, err := r.dueShards(ctx, began)
	if err != nil || len(shards) == 0 {
		return false, err
	}
	now, err := r.Store.Now(ctx, r.Namespace)
	if err != nil {
		return false, fmt.Errorf("time of the audit store: %w", err)
	}
	if !r.isClockSteady() {
		return false, nil // it was set just before the store looked at it
	}
	var done removed
	defer func() { r.logRemoved(done) }()
	checked := 0
	for _, shard := range shards {
		if checked >= maxChecksPerPass {
			return true, nil
		}
		old, wait, err := r.sweep(ctx, shard, now, &done)
		if err != nil {
			r.nextCheck[shard] = began // behind the others in the next pass
			return true, fmt.Errorf("archived batches of %s, shard %d: %w", r.Namespace, shard, err)
		}
		r.nextCheck[shard] = began.Add(wait)
		checked += 1 + old
	}
	return false, nil
}

// isClockSteady reports whether the clock has not been set for a while.
func (r *Remover) isClockSteady() bool {
	now := time.Now()
	if by := r.clock.observe(now); by != 0 {
		r.Log.Warn().Stringer("by", by.Round(time.Second)).Stringer("for", r.ClockGrace).
			Msg("the clock was set; retention pauses until it has been right for a while")
	}
	return now.Sub(r.clock.since) >= r.ClockGrace
}

// dueShards returns the shards that have archived batches and are due, those first that have been
// so for longest.
func (r *Remover) dueShards(ctx context.Context, now time.Time) ([]uint64, error) {
	shards, err := r.Store.ArchiveShards(ctx, r.Namespace)
	if err != nil {
		return nil, fmt.Errorf("archived batches of %s: %w", r.Namespace, err)
	}
	for shard := range r.nextCheck {
		if _, there := slices.BinarySearch(shards, shard); !there {
			delete(r.nextCheck, shard)
		}
	}
	shards = slices.DeleteFunc(shards, func(shard uint64) bool { return r.nextCheck[shard].After(now) })
	slices.SortStableFunc(shards, func(a, b uint64) int { return r.nextCheck[a].Compare(r.nextCheck[b]) })
	return shards, nil
}

// sweep removes from a shard what may go at a time of the store's. It returns how many batches are
// old enough, and how long no other will be.
func (r *Remover) sweep(ctx context.Context, shard uint64, now time.Time, done *removed) (old int, wait time.Duration, err error) {
	batches, err := r.Store.Archives(ctx, r.Namespace, shard)
	if err != nil {
		return 0, 0, err
	}
	wait = r.Keep // for what is archived from now on
	batches = slices.DeleteFunc(batches, func(b auditstore.Archived) bool {
		left := r.Keep - now.Sub(b.At)
		if left > 0 {
			wait = min(wait, left)
		}
		return left > 0
	})
	if old = len(batches); old == 0 {
		return 0, wait, nil
	}
	epochs := make([]uint64, len(batches))
	for i, b := range batches {
		epochs[i] = b.Epoch
	}
	// What is not there or cannot be made out keeps a batch.
	verdicts, err := report.ReadAround(ctx, r.Store, r.Namespace, epochs)
	if err != nil {
		return old, 0, err
	}
	overruled, err := report.ReadOverruled(ctx, r.Store, r.Namespace)
	if err != nil {
		return old, 0, err
	}
	// After the verdicts, so that as little time as can be is between the last check and the
	// removal.
	evidenced, err := r.Store.EvidencedEpochs(ctx, r.Namespace, shard)
	if err != nil {
		return old, 0, err
	}
	batches = slices.DeleteFunc(batches, func(b auditstore.Archived) bool {
		_, found := slices.BinarySearch(evidenced, b.Epoch)
		return found || overruled.Of(b.Epoch) != nil || !r.isRemovable(b, verdicts, now)
	})
	if len(batches) < old {
		wait = min(wait, recheckAfter)
	}
	return old, wait, r.remove(ctx, batches, done)
}

// isRemovable reports whether nothing is held against an epoch, as far as the verdicts show.
func (r *Remover) isRemovable(b auditstore.Archived, verdicts map[uint64]verdict.Verdict, now time.Time) bool {
	v := verdicts[b.Epoch]
	return v.Outcome == verdict.Verified && v.Batch.StoredBytes == b.Size && now.Sub(v.FinishedAt) >= r.Keep &&
		(b.Epoch <= r.First || verdict.Between(verdicts[b.Epoch-1], v) == verdict.Linked) &&
		(r.Last != 0 && b.Epoch >= r.Last || verdict.Between(v, verdicts[b.Epoch+1]) == verdict.Linked)
}

// remove removes batches. One that cannot be removed, such as an object that somebody has locked,
// does not keep the others.
func (r *Remover) remove(ctx context.Context, batches []auditstore.Archived, done *removed) error {
	var mu sync.Mutex
	var first error
	failed := 0
	var group errgroup.Group
	group.SetLimit(removeAhead)
	for _, b := range batches {
		group.Go(func() error {
			err := ctx.Err()
			if err == nil {
				err = r.Store.RemoveArchive(ctx, r.Namespace, b.Epoch, b.Extension)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done.add(b)
				return nil
			}
			failed++
			first = cmp.Or(first, err)
			return nil
		})
	}
	_ = group.Wait() // its functions return no errors
	if first != nil {
		return fmt.Errorf("%d of %d could not be removed, the first of them: %w", failed, len(batches), first)
	}
	return nil
}

// removed is what a pass removed.
type removed struct {
	batches        int
	bytes          int64
	oldest, newest uint64
}

func (d *removed) add(b auditstore.Archived) {
	if d.batches == 0 {
		d.oldest = b.Epoch
	}
	d.oldest, d.newest = min(d.oldest, b.Epoch), max(d.newest, b.Epoch)
	d.batches++
	d.bytes += b.Size
}

func (r *Remover) logRemoved(d removed) {
	if d.batches == 0 {
		return
	}
	observe.MetricsOr(r.Metrics).ArchiveRemoved(r.Namespace, d.batches)
	r.Log.Info().Int("batches", d.batches).Int64("bytes", d.bytes).Uint64("oldest", d.oldest).Uint64("newest", d.newest).
		Msg("archived batches removed")
}

// steadyClock notices when the clock is set: it then shows another time than has passed.
type steadyClock struct {
	since time.Time // its start, or when it was set
	last  time.Time // when it was looked at
	shown time.Time // what it showed then
}

func startClock(now time.Time) steadyClock { return steadyClock{now, now, now.Round(0)} }

// observe returns by how much the clock was set since it was last observed; 0 if it was not.
func (c *steadyClock) observe(now time.Time) time.Duration {
	shown := now.Round(0) // without the time that has passed
	by := shown.Sub(c.shown) - now.Sub(c.last)
	c.last, c.shown = now, shown
	if by.Abs() <= clockSlack {
		return 0
	}
	c.since = now
	return by
}
