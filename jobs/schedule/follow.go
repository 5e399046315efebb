package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

const (
	// gapLook is how far past an epoch that is missing a log is searched for later ones, in powers of two.
	gapLook = 256
	// farLook is how far it is searched in the first round, and in one of farPeriod. A gap of up to so many epochs is found to be one
	// once the log has published as many behind it.
	farLook, farPeriod = 1 << 20, 10
)

// follower looks after a log's newest epochs. What it remembers saves requests, and dates what it saw; without it, as after a
// restart, it comes to the same.
type follower struct {
	*scheduledLog
	sightings              // of open recent epochs
	moved     time.Time    // when the head was published; while none is: when that was noticed
	unseen    time.Time    // since when the log was not looked at to its end; zero: it was, in the last round
	checked   epochset.Set // whose verdicts were looked at
	failing   time.Time    // since when no round has gone well, here or with history; zero: the last ones have
	failedAt  uint64       // the epoch that the log was to have next then
	advanced  int          // how often the log was searched
	leftOver  epochset.Set // epochs of history whose alert on a backlog has outlasted the backlog

	told map[string]alert.Alert // the notices of conditions that are open, by name
}

func newFollower(l *scheduledLog) *follower {
	return &follower{scheduledLog: l, sightings: sightings{}, told: map[string]alert.Alert{}}
}

// round looks at the log once. One thing that fails doesn't keep the others from being done.
func (f *follower) round(ctx context.Context, now time.Time) error {
	work, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	lasting, err := f.incidents.Outbox().Unresolved(work, f.Namespace, f.told)
	errs := []error{err, f.advance(work, now)}
	head := f.head.Load()
	if head >= f.First {
		errs = append(errs, f.reconcile(work, now, head, lasting))
	}
	if head >= f.First || !f.moved.IsZero() { // of a log that could not be looked at yet nothing is known
		observe.MetricsOr(f.Metrics).SetLog(f.Namespace, f.state(head))
	}
	errs = append(errs, f.tellSilence(work, now, head, lasting))
	err = errors.Join(errs...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	tell, cancel := context.WithTimeout(ctx, tellTimeout) // the round may have taken all of its own time
	defer cancel()
	return errors.Join(err, f.tellFailure(tell, now, err, lasting))
}

// advance finds the log's head.
func (f *follower) advance(ctx context.Context, now time.Time) error {
	if f.head.Load() == 0 {
		judged, err := report.HighestJudged(ctx, f.Store, f.Namespace)
		if err != nil {
			return err
		}
		f.head.Store(max(judged, f.First-1))
	}
	known := f.head.Load()
	reach := uint64(gapLook)
	if f.advanced%farPeriod == 0 {
		reach = farLook
	}
	f.advanced++
	head, err := f.search(ctx, known, reach)
	switch {
	case err == nil:
		f.unseen = time.Time{}
		defer f.followed.Store(true) // after the head is
	case f.unseen.IsZero():
		f.unseen = now
	}
	if head < f.First {
		if err == nil && f.moved.IsZero() {
			f.moved = now
			f.log.Warn().Uint64("first", f.First).Msg("no epoch is there yet: is it the right log directory?")
		}
		return err
	}
	if head == known && !f.moved.IsZero() {
		return err
	}
	// Replicas and restarts agree on when the log moved by its own clock, if it shows one.
	f.moved = now
	object, locateErr := f.Fetcher.Locate(ctx, head)
	if locateErr == nil && !object.ModTime.IsZero() && object.ModTime.Before(now) {
		f.moved = object.ModTime
	}
	f.head.Store(head)
	f.sightings[head] = &sighting{published: true, since: now}
	return err
}

// search returns the newest epoch that is published, from one on that is. It doubles its steps to catch up with a long history in
// few requests. A log may have skipped epochs, so that one that isn't there is no proof of the end: it looks past it, up to reach.
func (f *follower) search(ctx context.Context, head, reach uint64) (uint64, error) {
	for {
		for step := uint64(1); ; step *= 2 {
			there, err := f.published(ctx, head, step)
			if err != nil {
				return head, err
			}
			if there {
				head += step
				continue
			}
			for step /= 2; step > 0; step /= 2 {
				there, err := f.published(ctx, head, step)
				if err != nil {
					return head, err
				}
				if there {
					head += step
				}
			}
			break
		}
		past := uint64(0)
		for step := uint64(2); step <= reach && past == 0; step *= 2 {
			there, err := f.published(ctx, head, step)
			if err != nil {
				return head, err
			}
			if there {
				past = step
			}
		}
		if past == 0 {
			return head, nil
		}
		head += past
	}
}

// published says whether the log has the epoch that comes step after head.
func (f *follower) published(ctx context.Context, head, step uint64) (bool, error) {
	last := f.Last
	if last == 0 {
		last = verdict.MaxEpoch
	}
	if head >= last || step > last-head {
		return false, nil
	}
	object, err := f.look(ctx, head+step)
	return object != nil, err
}

// state is what metrics are told.
func (f *follower) state(head uint64) observe.LogState {
	state := observe.LogState{Head: f.verified.Load()}
	if head >= f.First {
		state.Newest = head
	}
	if f.followed.Load() { // else there may be newer ones
		state.NewestSince = f.moved
	}
	for _, s := range f.sightings {
		if !s.published {
			continue
		}
		state.Open++
		if state.OldestOpenSince.IsZero() || s.since.Before(state.OldestOpenSince) {
			state.OldestOpenSince = s.since
		}
	}
	return state
}

// recentFrom is the first epoch that is not history while the log's head is head.
func (l *scheduledLog) recentFrom(head uint64) uint64 {
	if head <= l.recent {
		return l.First
	}
	return max(l.First, head-l.recent+1)
}
