package schedule

import (
	"context"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
)

// maxLocated bounds how many epochs without a verdict are located in the log in one round.
const maxLocated = 64

// observations are what the log shows of epochs without a verdict.
type observations map[uint64]*observation

// observation is what the log shows of one epoch.
type observation struct {
	published    bool
	since        time.Time // when it was first seen to be published
	missingSince time.Time // when it was first found missing; zero if it is published
}

// update locates the epochs without a verdict, ascending, that were not seen to be published yet,
// the newest first, and forgets the others.
func (o observations) update(ctx context.Context, log *fetcher.Fetcher, now time.Time, unjudged []uint64) error {
	for epoch := range o {
		if _, found := slices.BinarySearch(unjudged, epoch); !found {
			delete(o, epoch)
		}
	}
	located := 0
	for _, epoch := range slices.Backward(unjudged) {
		seen := o[epoch]
		if seen == nil {
			seen = &observation{}
			o[epoch] = seen
		}
		if seen.published || located == maxLocated {
			continue
		}
		located++
		object, err := locate(ctx, log, epoch)
		switch {
		case err != nil:
			return err
		case object != nil:
			*seen = observation{published: true, since: now}
		case seen.missingSince.IsZero():
			seen.missingSince = now
		}
	}
	return nil
}

// missing reports whether an epoch was located in vain.
func (o observations) missing(epoch uint64) bool {
	seen := o[epoch]
	return seen != nil && !seen.missingSince.IsZero()
}

// publishedSince returns the epochs that have been published for that long, ascending.
func (o observations) publishedSince(now time.Time, age time.Duration) []uint64 {
	var late []uint64
	for epoch, seen := range o {
		if seen.published && age > 0 && now.Sub(seen.since) >= age {
			late = append(late, epoch)
		}
	}
	slices.Sort(late)
	return late
}
