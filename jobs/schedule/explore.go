package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

// exploredAtOnce is how many of a backfill's epochs without a verdict are located in the log in a
// period, and on how many of its gaps there are alerts. As long as these find gaps, up to
// frontier.MaxLocated are located in a round, and the next round comes soon.
const exploredAtOnce = 8

// explore locates some of a backfill's lowest epochs without a verdict in the log, and some that
// were missing before. It returns those given without the ones that are missing.
func (b *backfiller) explore(ctx context.Context, f *backfill, now time.Time, unjudged []uint64) ([]uint64, error) {
	if !f.exploring && now.Sub(f.explored) < b.config.Poll/2 {
		return unjudged, nil
	}
	f.explored, f.exploring = now, false
	again := f.gaps.ToLocate(exploredAtOnce) // before there are new ones
	unknown := slices.DeleteFunc(slices.Clone(unjudged), f.published.Has)
	missing := 0
	for epochs := range slices.Chunk(unknown[:min(len(unknown), frontier.MaxLocated)], exploredAtOnce) {
		there, err := b.locateEach(ctx, epochs)
		if err != nil {
			f.exploring = false
			return unjudged, err
		}
		f.exploring = false
		for i, epoch := range epochs {
			switch {
			case there[i].Published:
				f.published.Add(epoch)
			case there[i].Missing():
				f.gaps.Add(epoch)
				f.exploring = true
				missing++
			}
		}
		if !f.exploring || frontier.IsLate(ctx) {
			break
		}
	}
	if missing > 0 {
		b.log.Info().Int("epochs", missing).Uint64("from", unknown[0]).
			Msg("the log lacks epochs of its history; they are not put on the queue, and each round looks for some of them again")
		unjudged = slices.DeleteFunc(unjudged, f.gaps.Has)
	}
	there, err := b.locateEach(ctx, again)
	for i, epoch := range again {
		if err == nil && there[i].Published {
			f.reopenGapOf(epoch)
			f.exploring = true
		}
	}
	return unjudged, err
}

// locateEach returns what the log says of a few epochs.
func (b *backfiller) locateEach(ctx context.Context, epochs []uint64) ([]frontier.Answer, error) {
	answers := make([]frontier.Answer, len(epochs))
	group, ctx := errgroup.WithContext(ctx)
	for i, epoch := range epochs {
		group.Go(func() (err error) {
			answers[i], err = frontier.Locate(ctx, b.config.Fetcher, epoch)
			return err
		})
	}
	return answers, group.Wait()
}

// reopenGapOf has the gap with an epoch that came after all searched again, all of it: a log that
// was unreachable in part comes back so.
func (f *backfill) reopenGapOf(epoch uint64) {
	i, found := f.gaps.Find(epoch)
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

// alertOnGaps raises an alert on each of the lowest gaps, once its first epoch, which names the
// incident, was looked for often and for long enough. Pending means that there are gaps left to
// raise one on.
func (b *backfiller) alertOnGaps(ctx context.Context, f *backfill, now time.Time) (pending bool, err error) {
	noticed := map[uint64]gapNotice{}
	var errs []error
	for i, gap := range slices.Clone(f.gaps[:min(len(f.gaps), exploredAtOnce)]) {
		notice := f.noticed[gap.From]
		noticed[gap.From] = notice
		if notice.alerted {
			continue
		}
		pending = true
		if now.Sub(notice.located) < b.config.Poll/2 {
			continue
		}
		answer, err := frontier.Locate(ctx, b.config.Fetcher, gap.From)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if answer.Published {
			f.reopenGapOf(gap.From)
			continue
		}
		notice.located = now
		if answer.Missing() {
			notice.absence.Add(now)
		}
		noticed[gap.From] = notice
		if !notice.absence.IsSkip(now, b.progress.skippedAfter()) {
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
		notice.alerted = true
		noticed[gap.From] = notice
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
	return b.queue.Remove(ctx, b.config.Namespace, func(epoch uint64) bool {
		return slices.ContainsFunc(b.backfills, func(f *backfill) bool { return f.gaps.Has(epoch) })
	})
}
