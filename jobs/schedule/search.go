package schedule

import (
	"context"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// gapReach is how far past an epoch that is missing a log is searched for later ones, in powers
	// of two.
	gapReach = 256
	// farReach is how far it is searched in the first round, and in one of farPeriod. A gap of up
	// to so many epochs is found to be one once the log has published as many behind it.
	farReach, farPeriod = 1 << 20, 10
)

// search finds a log's newest epoch.
type search struct {
	log      *fetcher.Fetcher
	last     uint64 // epoch of a log that is closed; 0: it goes on
	searches int    // how often the log was searched
}

// newest returns the newest epoch that is published, given one that is; with an error, the newest
// that it has come to.
func (s *search) newest(ctx context.Context, known uint64) (uint64, error) {
	reach := uint64(gapReach)
	if s.searches%farPeriod == 0 {
		reach = farReach
	}
	s.searches++
	return s.within(ctx, known, reach)
}

// within doubles its steps to catch up with a long history in few requests. A log may have skipped
// epochs, so that one that isn't there is no proof of the end: it is searched past it, up to reach.
func (s *search) within(ctx context.Context, newest, reach uint64) (uint64, error) {
	for {
		for step := uint64(1); ; step *= 2 {
			there, err := s.published(ctx, newest, step)
			if err != nil {
				return newest, err
			}
			if there {
				newest += step
				continue
			}
			for step /= 2; step > 0; step /= 2 {
				there, err := s.published(ctx, newest, step)
				if err != nil {
					return newest, err
				}
				if there {
					newest += step
				}
			}
			break
		}
		past := uint64(0)
		for step := uint64(2); step <= reach && past == 0; step *= 2 {
			there, err := s.published(ctx, newest, step)
			if err != nil {
				return newest, err
			}
			if there {
				past = step
			}
		}
		if past == 0 {
			return newest, nil
		}
		newest += past
	}
}

// published reports whether the log has the epoch that comes step after newest.
func (s *search) published(ctx context.Context, newest, step uint64) (bool, error) {
	last := s.last
	if last == 0 {
		last = verdict.MaxEpoch
	}
	if newest >= last || step > last-newest {
		return false, nil
	}
	object, err := locate(ctx, s.log, newest+step)
	return object != nil, err
}
