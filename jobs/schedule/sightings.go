package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// maxLooks bounds how many open epochs are looked for in the log in one round.
const maxLooks = 64

// sightings say what the log shows of epochs without a verdict.
type sightings map[uint64]*sighting

// sighting is what the log shows of an epoch without a verdict.
type sighting struct {
	published    bool
	since        time.Time // when it was first seen to be published
	missingSince time.Time // when it was first looked for in vain; zero if it is published
}

// look finds an epoch in the log: nil if it is not published. Whatever else is wrong with it is the worker's to judge; there is
// no telling then when it was published.
func (l *scheduledLog) look(ctx context.Context, epoch uint64) (*fetcher.Object, error) {
	object, err := l.Fetcher.Locate(ctx, epoch)
	if errors.Is(err, fetcher.ErrNotPublished) {
		return nil, nil
	}
	_, equivocation := errors.AsType[*fetcher.EquivocationError](err)
	_, name := errors.AsType[*fetcher.NameError](err)
	if err == nil || equivocation || name {
		return &object, nil
	}
	return nil, err
}

// sight looks for the open epochs in the log, those that were not seen to be published yet, the newest first.
func (s sightings) sight(ctx context.Context, l *scheduledLog, now time.Time, open []uint64) error {
	for epoch := range s {
		if _, found := slices.BinarySearch(open, epoch); !found {
			delete(s, epoch)
		}
	}
	looks := 0
	for _, epoch := range slices.Backward(open) {
		seen := s[epoch]
		if seen == nil {
			seen = &sighting{}
			s[epoch] = seen
		}
		if seen.published || looks == maxLooks {
			continue
		}
		looks++
		object, err := l.look(ctx, epoch)
		switch {
		case err != nil:
			return err
		case object != nil:
			*seen = sighting{published: true, since: now}
		case seen.missingSince.IsZero():
			seen.missingSince = now
		}
	}
	return nil
}

// missing says whether an epoch was looked for in vain.
func (s sightings) missing(epoch uint64) bool {
	seen := s[epoch]
	return seen != nil && !seen.missingSince.IsZero()
}

// tellSkips raises an alert on each run of open epochs that the log left out, once a later look has found them missing too. The
// first epoch of a run names the incident.
func (s sightings) tellSkips(ctx context.Context, l *scheduledLog, now time.Time, open []uint64, lasting []alert.Alert) error {
	var errs []error
	head := l.head.Load()
	for i, epoch := range open {
		if !s.missing(epoch) || i > 0 && open[i-1] == epoch-1 && s.missing(epoch-1) {
			continue
		}
		// The rest of a longer run, whose beginning is history by now, is no news.
		if epoch == l.recentFrom(head) && epoch > l.First {
			continue
		}
		// Looked for only once, or known.
		if now.Sub(s[epoch].missingSince) < l.Poll/2 || isLasting(lasting, alert.SkippedIncident(epoch)) {
			continue
		}
		a := alert.OfSkipped(l.Namespace, epoch, head)
		last := epoch
		for s.missing(last + 1) {
			last++
		}
		if last > epoch {
			a.Detail = fmt.Sprintf("missing are epochs %d to %d", epoch, last)
		}
		errs = append(errs, l.incidents.Raise(ctx, a))
	}
	return errors.Join(errs...)
}
