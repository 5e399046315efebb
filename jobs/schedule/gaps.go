package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

// historyLooks is how many of a backfill's open epochs are looked for in the log in a period, and how many of its gaps are told of.
// As long as these bring something to light, up to maxLooks are looked for in a round, and the next round comes soon.
const historyLooks = 8

// gaps are the epochs of a backfill that the log has not published, as far as is known: runs of them, ascending, no two of which
// touch. They have no place in the window or on the queue, so that history goes on behind them, however long they are. Nobody
// knows them after a restart; they are found again.
type gaps []epochset.Range

// search returns the run that epoch is in, or would come before.
func (g gaps) search(epoch uint64) (i int, found bool) {
	return slices.BinarySearchFunc(g, epoch, func(r epochset.Range, epoch uint64) int {
		switch {
		case r.To < epoch:
			return -1
		case r.From > epoch:
			return 1
		}
		return 0
	})
}

func (g gaps) has(epoch uint64) bool {
	_, found := g.search(epoch)
	return found
}

func (g *gaps) add(epoch uint64) {
	i, found := g.search(epoch)
	if found {
		return
	}
	s := *g
	after, before := i < len(s) && s[i].From == epoch+1, i > 0 && s[i-1].To == epoch-1
	switch {
	case after && before:
		s[i-1].To = s[i].To
		s = slices.Delete(s, i, i+1)
	case after:
		s[i].From = epoch
	case before:
		s[i-1].To = epoch
	default:
		s = slices.Insert(s, i, epochset.Range{From: epoch, To: epoch})
	}
	*g = s
}

// some returns up to n of the epochs by chance, or all if there are no more.
func (g gaps) some(n int) []uint64 {
	total := uint64(0)
	for _, r := range g {
		total += r.To - r.From + 1
	}
	var picks []uint64 // as places in the runs, one after the other
	for i := range min(uint64(n), total) {
		if total > uint64(n) {
			i = rand.N(total)
		}
		picks = append(picks, i)
	}
	slices.Sort(picks)
	var some []uint64
	before := uint64(0)
	for _, r := range g {
		size := r.To - r.From + 1
		for len(picks) > 0 && picks[0]-before < size {
			some, picks = append(some, r.From+picks[0]-before), picks[1:]
		}
		before += size
	}
	return slices.Compact(some)
}

// explore looks for some of a backfill's lowest open epochs in the log, and for some that were missing before. It returns the open
// ones without those that are missing.
func (l *scheduledLog) explore(ctx context.Context, b *backfill, now time.Time, open []uint64) ([]uint64, error) {
	if !b.moving && now.Sub(b.explored) < l.Poll/2 {
		return open, nil
	}
	b.explored, b.moving = now, false
	again := b.gaps.some(historyLooks) // before there are new ones
	unknown := slices.DeleteFunc(slices.Clone(open), b.found.Has)
	missing := 0
	for epochs := range slices.Chunk(unknown[:min(len(unknown), maxLooks)], historyLooks) {
		there, err := l.lookFor(ctx, epochs)
		if err != nil {
			b.moving = false
			return open, err
		}
		b.moving = false
		for i, epoch := range epochs {
			if there[i] {
				b.found.Add(epoch)
			} else {
				b.gaps.add(epoch)
				b.moving = true
				missing++
			}
		}
		if !b.moving {
			break
		}
	}
	if missing > 0 {
		l.log.Info().Int("epochs", missing).Uint64("from", unknown[0]).Msg("history lacks epochs that the log has not published")
		open = slices.DeleteFunc(open, b.gaps.has)
	}
	there, err := l.lookFor(ctx, again)
	for i, epoch := range again {
		if err == nil && there[i] {
			b.close(epoch)
			b.moving = true
		}
	}
	return open, err
}

// lookFor says which of a few epochs the log has.
func (l *scheduledLog) lookFor(ctx context.Context, epochs []uint64) ([]bool, error) {
	there := make([]bool, len(epochs))
	group, ctx := errgroup.WithContext(ctx)
	for i, epoch := range epochs {
		group.Go(func() error {
			object, err := l.look(ctx, epoch)
			there[i] = object != nil
			return err
		})
	}
	return there, group.Wait()
}

// close has all of the gap with an epoch that came after all looked for again: a log that was unreachable in part comes back so.
func (b *backfill) close(epoch uint64) {
	i, found := b.gaps.search(epoch)
	if !found {
		return
	}
	b.reopen(b.gaps[i])
	b.gaps = slices.Delete(b.gaps, i, i+1)
}

// forgetGaps has all of them looked for again.
func (b *backfill) forgetGaps() {
	for _, r := range b.gaps {
		b.reopen(r)
	}
	b.gaps = nil
}

// reopen takes the shards of a gap for open again. They were complete but for it.
func (b *backfill) reopen(r epochset.Range) {
	for b.low > r.From/verdict.EpochsPerShard {
		b.low--
		b.complete[b.low] = struct{}{}
	}
	for shard := r.From / verdict.EpochsPerShard; shard <= r.To/verdict.EpochsPerShard; shard++ {
		if _, complete := b.complete[shard]; complete {
			delete(b.complete, shard)
			b.checked[shard] = &epochset.Set{} // what comes now is new
		}
	}
}

// tellGaps raises an alert on each of the lowest gaps, once a later look has found its first epoch missing too. That epoch names
// the incident. There may be some left to tell of.
func (l *scheduledLog) tellGaps(ctx context.Context, b *backfill, now time.Time) (untold bool, err error) {
	told := map[uint64]time.Time{}
	var errs []error
	for i, gap := range slices.Clone(b.gaps[:min(len(b.gaps), historyLooks)]) {
		since, known := b.told[gap.From]
		if !known {
			since = now
		}
		told[gap.From] = since
		if since.IsZero() {
			continue
		}
		untold = true
		if now.Sub(since) < l.Poll/2 {
			continue
		}
		switch object, err := l.look(ctx, gap.From); {
		case err != nil:
			errs = append(errs, err)
			continue
		case object != nil:
			b.close(gap.From)
			continue
		}
		a := alert.OfSkipped(l.Namespace, gap.From, l.head.Load())
		if gap.To > gap.From {
			a.Detail = fmt.Sprintf("missing are epochs %d to %d", gap.From, gap.To)
			if b.moving && i == len(b.gaps)-1 {
				a.Detail += ", at least"
			}
		}
		if err := l.incidents.Raise(ctx, a); err != nil {
			errs = append(errs, err)
			continue
		}
		told[gap.From] = time.Time{}
	}
	b.told = told
	return untold, errors.Join(errs...)
}

// unqueue takes epochs that the log has not published off the queues, where workers would ask for them for ever. One that a worker
// asks for just now stays until the next round.
func (l *scheduledLog) unqueue(ctx context.Context) error {
	if !slices.ContainsFunc(l.history, func(b *backfill) bool { return len(b.gaps) > 0 }) {
		return nil
	}
	return l.redis.Remove(ctx, l.Namespace, func(epoch uint64) bool {
		return slices.ContainsFunc(l.history, func(b *backfill) bool { return b.gaps.has(epoch) })
	})
}
