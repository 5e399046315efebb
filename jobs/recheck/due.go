package recheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/jobs/begun"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// task is what the mark of how far the looking has come is called in the audit store.
	task = "recheck"
	// ahead is how far a mark may be ahead of the clock. One that is further was made by a clock
	// that was wrong, and would keep epochs from being looked at.
	ahead = time.Minute
	// maxFailures is with how many shards that cannot be looked at it is the log, or the audit
	// store, that is in trouble, and not they.
	maxFailures = 3
	// A round looks at so many shards of history by chance, at most, and at so many epochs of one
	// that cannot be listed at once.
	maxShardsByChance, maxByChance = 8, 64
)

// errNoneLeft: the round has asked the log as often as it may.
var errNoneLeft = errors.New("no requests are left in this round")

// bounds are when the first and the last verdict of a shard were written.
type bounds struct{ first, last time.Time }

// lookAtDue looks at the epochs whose verdicts have come to one of the ages since the last round,
// the newest shards first. A round that does not come to its end goes on with the next one where it
// was.
func (r *round) lookAtDue(ctx context.Context) error {
	if err := r.readMark(ctx); err != nil {
		return err
	}
	shards, err := r.config.Store.Shards(ctx, r.config.Namespace, 0, verdict.MaxEpoch/verdict.EpochsPerShard)
	if err != nil {
		return fmt.Errorf("verdicts of %s: %w", r.config.Namespace, err)
	}
	sealed, err := r.config.Store.SealTimes(ctx, r.config.Namespace)
	if err != nil {
		return fmt.Errorf("seals of %s: %w", r.config.Namespace, err)
	}
	var errs []error
	for _, shard := range slices.Backward(shards) {
		since := r.upTo
		if at := r.shardTo[shard]; at.After(since) {
			since = at
		}
		epochs, err := r.dueOf(ctx, shard, since, sealed)
		if err == nil {
			err = r.look(ctx, epochs, since)
		}
		if err == nil {
			r.shardTo[shard] = r.now
			continue
		}
		if errs = append(errs, err); errors.Is(err, errNoneLeft) || len(errs) == maxFailures || ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		r.upTo = r.now
		clear(r.shardTo)
	}
	return errors.Join(errs...)
}

// dueOf returns the epochs of a shard that came due after a time. When verdicts were written is
// said by one listing; those of a sealed shard were all written before its seal.
func (r *round) dueOf(ctx context.Context, shard uint64, since time.Time, sealed map[uint64]time.Time) ([]uint64, error) {
	at, isSealed := sealed[shard]
	if b, known := r.judged[shard]; known {
		if !r.isDue(b.first, b.last, since) {
			return nil, nil
		}
	} else if isSealed && !r.isDue(time.Time{}, at, since) {
		return nil, nil
	}
	times, err := r.config.Store.VerdictTimes(ctx, r.config.Namespace, shard)
	if err != nil {
		return nil, fmt.Errorf("verdicts of %s: %w", r.config.Namespace, err)
	}
	var due []uint64
	var b bounds
	for epoch, at := range times {
		if r.open[epoch] == nil && r.isDue(at, at, since) { // what is open is looked at anyway
			due = append(due, epoch)
		}
		if b.first.IsZero() || at.Before(b.first) {
			b.first = at
		}
		if at.After(b.last) {
			b.last = at
		}
	}
	if isSealed {
		r.judged[shard] = b
	}
	slices.Sort(due)
	return due, nil
}

// isDue reports whether something that was written between two times may have come to one of the
// ages after a time.
func (r *round) isDue(first, last, since time.Time) bool {
	return slices.ContainsFunc(r.config.After, func(age time.Duration) bool {
		return last.Add(age).After(since) && !first.Add(age).After(r.now)
	})
}

// readMark finds out how far the looking has come, by whomever. Where nobody knows, it begins with
// what came due within the longest age.
func (r *round) readMark(ctx context.Context) error {
	times, err := begun.Of(r.config.Store, r.config.Namespace, task).Times(ctx)
	if err != nil {
		return fmt.Errorf("how far %s was looked at again: %w", r.config.Namespace, err)
	}
	r.marks = slices.DeleteFunc(times, func(t time.Time) bool { return t.After(r.now.Add(ahead)) })
	if n := len(r.marks); n > 0 && r.marks[n-1].After(r.upTo) {
		r.upTo = r.marks[n-1]
	}
	if r.upTo.IsZero() {
		r.upTo = r.now.Add(-slices.Max(r.config.After))
	}
	return nil
}

// writeMark puts on record how far the looking has come: not beyond what is open.
func (r *round) writeMark(ctx context.Context) error {
	mark := r.upTo
	for _, o := range r.open {
		if o.since.Before(mark) {
			mark = o.since
		}
	}
	mark = mark.Truncate(time.Second)
	if n := len(r.marks); mark.IsZero() || n > 0 && !mark.After(r.marks[n-1]) {
		return nil
	}
	record := begun.Of(r.config.Store, r.config.Namespace, task)
	if _, err := record.Put(ctx, mark, []byte("{}\n")); err != nil {
		return err
	}
	for _, before := range r.marks {
		if err := record.Remove(ctx, before); err != nil {
			return err
		}
	}
	return nil
}

// lookAtOpen looks once more at the epochs of which nothing could be concluded.
func (r *round) lookAtOpen(ctx context.Context) error {
	shards := map[uint64][]uint64{}
	for epoch, o := range r.open {
		if !o.seen.Equal(r.now) && !o.next.After(r.now) {
			shard := epoch / verdict.EpochsPerShard
			shards[shard] = append(shards[shard], epoch)
		}
	}
	var errs []error
	for _, epochs := range shards {
		slices.Sort(epochs)
		err := r.look(ctx, epochs, r.now)
		if err == nil {
			continue
		}
		if errs = append(errs, err); errors.Is(err, errNoneLeft) || len(errs) == maxFailures || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// lookAtAny looks at shards of all of history by chance, as many as bring all of it to its turn in
// the time that is set.
func (r *round) lookAtAny(ctx context.Context) error {
	if r.config.History <= 0 {
		return nil
	}
	shards, err := r.config.Store.Shards(ctx, r.config.Namespace, 0, verdict.MaxEpoch/verdict.EpochsPerShard)
	if err != nil || len(shards) == 0 {
		return err
	}
	n := roundByChance(float64(len(shards)) * float64(r.period()) / float64(r.config.History))
	for range min(n, maxShardsByChance) {
		epochs, err := r.config.Store.Epochs(ctx, r.config.Namespace, shards[rand.IntN(len(shards))])
		if err != nil {
			return err
		}
		if _, isLess := r.prefixOf(epochs); !isLess {
			rand.Shuffle(len(epochs), func(i, j int) { epochs[i], epochs[j] = epochs[j], epochs[i] })
			epochs = epochs[:min(len(epochs), maxByChance)]
			slices.Sort(epochs)
		}
		if err := r.look(ctx, epochs, r.now); err != nil {
			return err
		}
	}
	return nil
}

// roundByChance returns a whole number that is x on average.
func roundByChance(x float64) int {
	n := int(x)
	if rand.Float64() < x-float64(n) {
		n++
	}
	return n
}
