package frontier

import (
	"context"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
)

const (
	// MaxLocated bounds how many epochs without a verdict are located in the log in one round.
	MaxLocated = 64
	// An epoch is skipped once so many fresh answers, over so many times the log's cadence, have
	// not had it, though a later one was there all the while. Listings lag behind, each in its own
	// way.
	skippedAnswers, skippedCadences = 3, 4
)

// Observations are what the log shows of epochs without a verdict. They begin anew in each process.
type Observations map[uint64]*Observation

// Observation is what the log shows of one epoch.
type Observation struct {
	Published bool
	Since     time.Time // when it was first seen to be published
	Written   time.Time // when it was published, as the log says; zero: it does not
	Absence   Absence   // while it is not
}

// Absence is how often, and since when, an epoch was looked for in vain while a later one was
// there.
type Absence struct {
	answers int
	since   time.Time
}

// Add takes in a fresh answer without the epoch.
func (a *Absence) Add(now time.Time) {
	if a.answers++; a.answers == 1 {
		a.since = now
	}
}

// SkippedAfter returns for how long an epoch must have been missing, though a later one is there,
// before a log that publishes so often has skipped it.
func SkippedAfter(cadence time.Duration) time.Duration { return skippedCadences * cadence }

// IsSkip reports whether the log has left the epoch out, given for how long it must be missing.
func (a Absence) IsSkip(now time.Time, after time.Duration) bool {
	return a.answers >= skippedAnswers && now.Sub(a.since) >= after
}

// Update locates epochs without a verdict, ascending, that were not seen to be published yet: the
// first of each run of them, and then the newest ones. It forgets those that have a verdict.
func (o Observations) Update(ctx context.Context, log *fetcher.Fetcher, now time.Time, unjudged []uint64) error {
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
			seen = &Observation{}
			o[epoch] = seen
		}
		if seen.Published || located[epoch] || len(located) == limit || len(located) > 0 && IsLate(ctx) {
			return nil
		}
		located[epoch] = true
		answer, err := Locate(ctx, log, epoch)
		switch {
		case err != nil:
			return err
		case answer.Published:
			o.came(epoch, now)
			*seen = Observation{Published: true, Since: now, Written: answer.Object.ModTime}
		case answer.Missing():
			seen.Absence.Add(now)
		}
		return nil
	}
	for i, epoch := range unjudged {
		if i > 0 && unjudged[i-1] == epoch-1 && !o.Published(epoch-1) {
			continue
		}
		if err := locate(epoch, MaxLocated/2); err != nil {
			return err
		}
	}
	for _, epoch := range slices.Backward(unjudged) {
		if err := locate(epoch, MaxLocated); err != nil {
			return err
		}
	}
	return nil
}

// came notes that an epoch that was missing is so no more: the log publishes in order, and may only
// just have come to the next one.
func (o Observations) came(epoch uint64, now time.Time) {
	next := o[epoch+1]
	if o.Missing(epoch) && next != nil && next.Absence.since.Before(now) {
		next.Absence = Absence{}
	}
}

// Published reports whether an epoch was seen to be published.
func (o Observations) Published(epoch uint64) bool {
	seen := o[epoch]
	return seen != nil && seen.Published
}

// Missing reports whether an epoch was looked for in vain.
func (o Observations) Missing(epoch uint64) bool {
	seen := o[epoch]
	return seen != nil && seen.Absence.answers > 0
}

// PublishedSince returns the epochs that have been published for that long, ascending.
func (o Observations) PublishedSince(now time.Time, age time.Duration) []uint64 {
	var late []uint64
	for epoch, seen := range o {
		if seen.Published && age > 0 && now.Sub(seen.Since) >= age {
			late = append(late, epoch)
		}
	}
	slices.Sort(late)
	return late
}
