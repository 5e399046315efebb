package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

// exploredAtOnce is how many of a backfill's epochs without a verdict are located in the log in a
// period, and on how many of its gaps there are alerts. As long as these find gaps, up to
// maxLocated are located in a round, and the next round comes soon.
const exploredAtOnce = 8

// explore locates some of a backfill's lowest epochs without a verdict in the log, and some that
// were missing before. It returns those given without the ones that are missing.
func (b *backfiller) explore(ctx context.Context, f *backfill, now time.Time, unjudged []uint64) ([]uint64, error) {
	if !f.exploring && now.Sub(f.explored) < b.config.Poll/2 {
		return unjudged, nil
	}
	f.explored, f.exploring = now, false
	again := f.gaps.some(exploredAtOnce) // before there are new ones
	unknown := slices.DeleteFunc(slices.Clone(unjudged), f.published.Has)
	missing := 0
	for epochs := range slices.Chunk(unknown[:min(len(unknown), maxLocated)], exploredAtOnce) {
		there, err := b.locateEach(ctx, epochs)
		if err != nil {
			f.exploring = false
			return unjudged, err
		}
		f.exploring = false
		for i, epoch := range epochs {
			if there[i] {
				f.published.Add(epoch)
			} else {
				f.gaps.add(epoch)
				f.exploring = true
				missing++
			}
		}
		if !f.exploring {
			break
		}
	}
	if missing > 0 {
		b.log.Info().Int("epochs", missing).Uint64("from", unknown[0]).
			Msg("the log has not published all epochs of its history; what is missing is searched for now and then")
		unjudged = slices.DeleteFunc(unjudged, f.gaps.has)
	}
	there, err := b.locateEach(ctx, again)
	for i, epoch := range again {
		if err == nil && there[i] {
			f.reopenGapOf(epoch)
			f.exploring = true
		}
	}
	return unjudged, err
}

// locateEach returns which of a few epochs the log has.
func (b *backfiller) locateEach(ctx context.Context, epochs []uint64) ([]bool, error) {
	there := make([]bool, len(epochs))
	group, ctx := errgroup.WithContext(ctx)
	for i, epoch := range epochs {
		group.Go(func() error {
			object, err := locate(ctx, b.config.Fetcher, epoch)
			there[i] = object != nil
			return err
		})
	}
	return there, group.Wait()
}

// reopenGapOf has the gap with an epoch that came after all searched again, all of it: a log that
// was unreachable in part comes back so.
func (f *backfill) reopenGapOf(epoch uint64) {
	i, found := f.gaps.search(epoch)
	if !found {
		return
	}
	f.reopen(f.gaps[i])
	f.gaps = slices.Delete(f.gaps, i, i+1)
}

// forgetGaps has all gaps searched again.
func (f *backfill) forgetGaps() {
	for _, r := range f.gaps {
		f.reopen(r)
	}
	f.gaps = nil
}

// reopen takes the shards of a gap for incomplete again. They were complete but for it.
func (f *backfill) reopen(r epochset.Range) {
	for f.firstOpen > r.From/verdict.EpochsPerShard {
		f.firstOpen--
		f.complete[f.firstOpen] = struct{}{}
	}
	for shard := r.From / verdict.EpochsPerShard; shard <= r.To/verdict.EpochsPerShard; shard++ {
		if _, complete := f.complete[shard]; complete {
			delete(f.complete, shard)
			f.checked[shard] = &epochset.Set{} // what comes now is new
		}
	}
}

// alertOnGaps raises an alert on each of the lowest gaps, once a later round has found its first
// epoch missing too. That epoch names the incident. Pending means that there are gaps left to raise
// one on.
func (b *backfiller) alertOnGaps(ctx context.Context, f *backfill, now time.Time) (pending bool, err error) {
	noticed := map[uint64]time.Time{}
	var errs []error
	for i, gap := range slices.Clone(f.gaps[:min(len(f.gaps), exploredAtOnce)]) {
		since, known := f.noticed[gap.From]
		if !known {
			since = now
		}
		noticed[gap.From] = since
		if since.IsZero() {
			continue
		}
		pending = true
		if now.Sub(since) < b.config.Poll/2 {
			continue
		}
		switch object, err := locate(ctx, b.config.Fetcher, gap.From); {
		case err != nil:
			errs = append(errs, err)
			continue
		case object != nil:
			f.reopenGapOf(gap.From)
			continue
		}
		a := alert.OfSkipped(b.config.Namespace, gap.From, b.progress.published())
		if gap.To > gap.From {
			a.Detail = fmt.Sprintf("missing are epochs %d to %d", gap.From, gap.To)
			if f.exploring && i == len(f.gaps)-1 {
				a.Detail += ", at least"
			}
		}
		if err := b.incidents.Raise(ctx, a); err != nil {
			errs = append(errs, err)
			continue
		}
		noticed[gap.From] = time.Time{}
	}
	f.noticed = noticed
	return pending, errors.Join(errs...)
}

// dequeueGaps takes epochs that the log has not published off the queues, where workers would try
// them for ever. One that a worker tries just now stays until the next round.
func (b *backfiller) dequeueGaps(ctx context.Context) error {
	if !slices.ContainsFunc(b.backfills, func(f *backfill) bool { return len(f.gaps) > 0 }) {
		return nil
	}
	return b.queue.redis.Remove(ctx, b.config.Namespace, func(epoch uint64) bool {
		return slices.ContainsFunc(b.backfills, func(f *backfill) bool { return f.gaps.has(epoch) })
	})
}
