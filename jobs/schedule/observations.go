package schedule

import (
	"context"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/frontier"
)

const (
	// maxLocated bounds how many epochs without a verdict are located in the log in one round.
	maxLocated = 64
	// An epoch is skipped once so many fresh answers, over so many times the log's cadence, have
	// not had it, though a later one was there all the while. Listings lag behind, each in its own
	// way.
	skippedLooks, skippedCadences = 3, 4
)

// observations are what the log shows of epochs without a verdict. They begin anew in each process.
type observations map[uint64]*observation

// observation is what the log shows of one epoch.
type observation struct {
	published bool
	since     time.Time // when it was first seen to be published
	absence   absence   // while it is not
}

// absence is how often, and since when, an epoch was looked for in vain while a later one was
// there.
type absence struct {
	looks int
	since time.Time
}

// add takes in a fresh answer without the epoch.
func (a *absence) add(now time.Time) {
	if a.looks++; a.looks == 1 {
		a.since = now
	}
}

// isSkip reports whether the log has left the epoch out, given for how long it must be missing.
func (a absence) isSkip(now time.Time, after time.Duration) bool {
	return a.looks >= skippedLooks && now.Sub(a.since) >= after
}

// update locates epochs without a verdict, ascending, that were not seen to be published yet: the
// first of each run of them, and then the newest ones. It forgets those that have a verdict.
func (o observations) update(ctx context.Context, log *fetcher.Fetcher, now time.Time, unjudged []uint64) error {
	for epoch := range o {
		if _, found := slices.BinarySearch(unjudged, epoch); !found {
			o.came(epoch, now)
			delete(o, epoch)
		}
	}
	located := map[uint64]bool{}
	locate := func(epoch uint64, limit int) error {
		seen := o[epoch]
		if seen == nil {
			seen = &observation{}
			o[epoch] = seen
		}
		if seen.published || located[epoch] || len(located) == limit || len(located) > 0 && isLate(ctx) {
			return nil
		}
		located[epoch] = true
		answer, err := frontier.Locate(ctx, log, epoch)
		switch {
		case err != nil:
			return err
		case answer.Published:
			o.came(epoch, now)
			*seen = observation{published: true, since: now}
		case answer.Missing():
			seen.absence.add(now)
		}
		return nil
	}
	for i, epoch := range unjudged {
		if i > 0 && unjudged[i-1] == epoch-1 && !o.published(epoch-1) {
			continue
		}
		if err := locate(epoch, maxLocated/2); err != nil {
			return err
		}
	}
	for _, epoch := range slices.Backward(unjudged) {
		if err := locate(epoch, maxLocated); err != nil {
			return err
		}
	}
	return nil
}

// came notes that an epoch that was missing is so no more: the log publishes in order, and may only
// just have come to the next one.
func (o observations) came(epoch uint64, now time.Time) {
	next := o[epoch+1]
	if o.missing(epoch) && next != nil && next.absence.since.Before(now) {
		next.absence = absence{}
	}
}

// published reports whether an epoch was seen to be published.
func (o observations) published(epoch uint64) bool {
	seen := o[epoch]
	return seen != nil && seen.published
}

// missing reports whether an epoch was looked for in vain.
func (o observations) missing(epoch uint64) bool {
	seen := o[epoch]
	return seen != nil && seen.absence.looks > 0
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
