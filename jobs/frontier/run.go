package frontier

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// walked is how many epochs are looked for one by one before the steps grow, by stride each.
	walked, stride = 4, 8
	// samples is how many epochs of a stretch are looked for, by chance, before it counts as there,
	// and lastSamples how many of the last one.
	samples, lastSamples = 3, 8
	// maxEnds bounds how often an end that stands alone is given up for one before it.
	maxEnds = 16
	// longest is how many epochs a log may have, one each second for eight years. A server can make
	// up a listing for any epoch, which costs it nothing.
	longest = 1 << 28
)

// locate is Locate, and knows where the log ends for good.
func (f *Frontier) locate(ctx context.Context, epoch uint64) (Answer, error) {
	last := f.config.Last
	if last == 0 {
		last = min(verdict.MaxEpoch, f.config.First+longest)
	}
	if epoch > last {
		return Answer{Fresh: true}, nil
	}
	answer, err := Locate(ctx, f.config.Log, epoch)
	f.stale = f.stale || err == nil && !answer.Published && !answer.Fresh
	return answer, err
}

// run returns the end of the epochs that are there one after the other behind an epoch: those next
// to it one by one, and then, with growing steps, as far as samples show. With an error it returns
// what it has come to.
//
// Steps and samples are by chance. Whoever puts objects where they might be met needs as many as
// there are epochs on the way.
func (f *Frontier) run(ctx context.Context, from position, now time.Time) (position, error) {
	solid, high := from, uint64(0)
	try := func(epoch uint64) (position, bool, error) {
		answer, err := f.locate(ctx, epoch)
		return place(epoch, answer, now), answer.Published, err
	}
	for range walked {
		next, there, err := try(solid.epoch + 1)
		if err != nil || !there {
			return solid, err
		}
		solid = next
	}
	for step := uint64(stride); high == 0; step *= stride {
		next, there, err := try(solid.epoch + step/2 + rand.N(step/2))
		if err != nil {
			return solid, err
		}
		if !there {
			high = next.epoch
		} else if high, err = f.sample(ctx, samples, solid.epoch, next.epoch); err != nil {
			return solid, err
		} else if high == 0 {
			solid = next
		}
	}
	for range maxEnds {
		end := solid
		for high-end.epoch > 1 {
			middle, there, err := try(end.epoch + (high-end.epoch)/2)
			if err != nil {
				return solid, err
			}
			if there {
				end = middle
			} else {
				high = middle.epoch
			}
		}
		hole, err := f.sample(ctx, lastSamples, solid.epoch, end.epoch)
		if err != nil {
			return solid, err
		}
		if hole == 0 {
			return end, nil
		}
		high = hole
	}
	return solid, nil
}

// sample looks for some of the epochs between two that are there: the last ones, for what stands
// alone is no end, and others by chance. It returns one that is missing, or 0.
func (f *Frontier) sample(ctx context.Context, n, from, to uint64) (missing uint64, err error) {
	if hole, err := f.holeBefore(ctx, from, to); hole != 0 || err != nil || to-from <= 3 {
		return hole, err
	}
	for range min(n, to-from-3) {
		epoch := from + 1 + rand.N(to-from-3)
		answer, err := f.locate(ctx, epoch)
		if err != nil {
			return 0, err
		}
		if !answer.Published {
			return epoch, nil
		}
	}
	return 0, nil
}

// holeBefore returns a missing one of the two epochs before an end, or 0. It looks at none up to
// from.
func (f *Frontier) holeBefore(ctx context.Context, from, end uint64) (uint64, error) {
	for epoch := end - 1; epoch > from && epoch+2 >= end; epoch-- {
		answer, err := f.locate(ctx, epoch)
		if err != nil {
			return 0, err
		}
		if !answer.Published {
			return epoch, nil
		}
	}
	return 0, nil
}

// solid looks for the first of the epochs around one that is there, after one that is missing, and
// reports whether from there on about as many are there as are missing before.
func (f *Frontier) solid(ctx context.Context, absent uint64, found position, now time.Time) (first position, is bool, err error) {
	first = found
	next, err := f.locate(ctx, first.epoch+1)
	if err != nil || !next.Published {
		return first, false, err
	}
	for first.epoch-absent > 1 {
		middle := absent + (first.epoch-absent)/2
		answer, err := f.locate(ctx, middle)
		if err != nil {
			return first, false, err
		}
		if answer.Published {
			first = place(middle, answer, now)
		} else {
			absent = middle
		}
	}
	end := first.epoch + max(samples+1, first.epoch-f.chained.epoch-1)
	last, err := f.locate(ctx, end)
	if err != nil || !last.Published {
		return first, false, err
	}
	missing, err := f.sample(ctx, samples, first.epoch, end)
	return first, missing == 0, err
}
