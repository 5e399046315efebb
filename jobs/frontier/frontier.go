package frontier

import (
	"context"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
)

const (
	// slack is how many epochs the newest may be ahead of the chain at any time.
	slack = 8
	// gapReach is the longest hop over missing epochs that one epoch behind them is enough for.
	gapReach = 256
	// farReach is how far ahead epochs are looked for in the first search, and in one of farPeriod:
	// a log that goes on behind a long gap is found so, and what cannot be followed is reported.
	farReach, farPeriod = 1 << 20, 10
	// stillAfter is how many times its cadence a log must have published nothing before missing
	// epochs are passed over.
	stillAfter = 2
)

// Config says whose frontier is searched. It is complete.
type Config struct {
	Namespace string
	Log       *fetcher.Fetcher
	Store     *auditstore.Store // of the audit
	// First is the first epoch of the audit. Last is the last one of a log that is closed; 0 means
	// that it goes on.
	First, Last uint64
	// Start is an epoch to go on from, such as the newest one with a verdict; 0 means to find the
	// highest one with a verdict that the log has come to.
	Start uint64
	// Cadence is how often the log publishes. 0 means to measure it; Poll, the time between two
	// searches, stands for it until then.
	Cadence, Poll time.Duration
}

// Frontier is how far a log has come.
type Frontier struct {
	config Config

	chained   position // the last epoch that continues the chain; First-1 while there is none
	newest    position // the newest one that is followed: chained, or one behind missing epochs
	resumed   uint64   // the first one known behind the missing ones; chained if there are none
	chainedAt time.Time
	beyond    uint64 // an epoch that is too far away to be followed; 0: none is known
	searches  int
	stale     bool // this search was told of a missing epoch by somebody who only kept the answer
	pace      pace
}

// position is a place in the log.
type position struct {
	epoch uint64
	since time.Time // when it was published, or found; zero: not known
	dated bool      // since is by the log's clock
}

// New starts before the first epoch. The first Advance goes on from the verdicts on record.
func New(c Config) *Frontier {
	f := &Frontier{config: c}
	f.startAt(c.First - 1)
	return f
}

func (f *Frontier) startAt(epoch uint64) {
	f.chained = position{epoch: epoch}
	f.newest, f.resumed = f.chained, epoch
}

// Chained returns the last epoch that continues the chain; First-1 while there is none.
func (f *Frontier) Chained() uint64 { return f.chained.epoch }

// ChainedSince returns when that epoch was published, by the log's clock if it shows one, else when
// it was found; zero if that is not known.
func (f *Frontier) ChainedSince() time.Time { return f.chained.since }

// StandsSince returns since when this process knows the chain to end where it does.
func (f *Frontier) StandsSince() time.Time { return f.chainedAt }

// Newest returns the newest epoch to be followed, which is Chained or a plausible one behind
// missing ones.
func (f *Frontier) Newest() uint64 { return f.newest.epoch }

// IsInGap reports whether an epoch is one of those missing between Chained and what is followed.
func (f *Frontier) IsInGap(epoch uint64) bool { return f.chained.epoch < epoch && epoch < f.resumed }

// Beyond returns an epoch that the log lists and that is too far away to be followed; 0 if none is
// known.
func (f *Frontier) Beyond() uint64 { return f.beyond }

// IsStale reports whether, in the last search, it was a cache that said that an epoch is missing.
func (f *Frontier) IsStale() bool { return f.stale }

// Cadence returns how often the log publishes, as far as is known.
func (f *Frontier) Cadence() time.Duration {
	if f.config.Cadence > 0 {
		return f.config.Cadence
	}
	return f.pace.cadence(f.config.Poll)
}

// Advance searches the log. The first epoch after the chain is looked for each time. With an error
// the frontier is where the search had come to.
func (f *Frontier) Advance(ctx context.Context, now time.Time) error {
	if f.chainedAt.IsZero() {
		if err := f.start(ctx, now); err != nil {
			return err
		}
		f.chainedAt = now
	}
	f.stale = false
	if err := f.goOn(ctx, now); err != nil {
		return err
	}
	far := f.searches%farPeriod == 0
	f.searches++
	for {
		found, err := f.pass(ctx, now, far)
		if err != nil || !found {
			return err
		}
		if err := f.goOn(ctx, now); err != nil {
			return err
		}
	}
}

// goOn follows the chain, and the epochs behind missing ones.
func (f *Frontier) goOn(ctx context.Context, now time.Time) error {
	end, err := f.run(ctx, f.chained, now)
	if end.epoch > f.chained.epoch {
		f.chain(end, now)
	}
	if err != nil || f.resumed == f.chained.epoch {
		return err
	}
	f.newest, err = f.run(ctx, f.newest, now)
	// A log that has published as many epochs behind the missing ones goes on without them. It
	// takes two to say that any continue each other. Nothing is to come behind the last one of a
	// closed log.
	missing := f.resumed - f.chained.epoch - 1
	if f.newest.epoch-f.resumed+1 >= max(2, missing) || f.newest.epoch == f.config.Last {
		f.chain(f.newest, now)
	}
	return err
}

// chain moves the end of the chain.
func (f *Frontier) chain(to position, now time.Time) {
	f.chained, f.chainedAt = to, now
	if to.epoch+1 >= f.resumed { // nothing is missing any more
		if f.newest.epoch > to.epoch {
			f.chained = f.newest
		}
		f.newest, f.resumed = f.chained, f.chained.epoch
	}
	if f.beyond <= f.newest.epoch {
		f.beyond = 0
	}
	if f.chained.dated {
		f.pace.add(f.chained.epoch, f.chained.since)
	}
}

// pass looks for an epoch behind missing ones. It reports whether it found one to follow.
//
// An epoch of which the log cannot be that far yet is not asked for, because a content network
// keeps the answer that it is missing; those far away will not come before that is forgotten.
func (f *Frontier) pass(ctx context.Context, now time.Time, far bool) (found bool, err error) {
	still := now.Sub(f.newest.since)
	due := uint64(max(0, still/f.Cadence()))
	isStill := due >= stillAfter && !f.stale
	if far {
		f.beyond = 0
	}
	absent := f.newest.epoch + 1 // the last epoch that was found missing
	for step := uint64(2); step <= farReach; step *= 2 {
		isNear := step <= gapReach
		if isNear && (step > due || !isStill) || !isNear && !far {
			continue
		}
		epoch := f.newest.epoch + step
		if !isNear {
			epoch = f.chained.epoch + step
		}
		if epoch <= absent {
			continue
		}
		answer, err := f.locate(ctx, epoch)
		if err != nil {
			return false, err
		}
		if !answer.Published {
			absent = epoch
			continue
		}
		to := place(epoch, answer, now)
		isPlausible := isNear && epoch <= f.plausible(now)
		if !isPlausible {
			if to, isPlausible, err = f.solid(ctx, absent, to, now); err != nil {
				return false, err
			}
		}
		if isPlausible && isStill {
			f.newest, f.resumed = to, to.epoch
			return true, nil
		}
		// What is near will be plausible in time, or the chain comes to it. Of a log that was
		// published just now, all of it, there is no telling yet.
		if isFirst := f.searches == 1; f.beyond == 0 && !isNear && !(isPlausible && isFirst) {
			f.beyond = epoch
		}
	}
	return false, nil
}

// plausible returns the last epoch that the log may have come to, as it has been at the end of its
// chain for as long as this process knows.
func (f *Frontier) plausible(now time.Time) uint64 {
	return f.chained.epoch + slack + uint64(max(0, now.Sub(f.chainedAt)/f.Cadence()))
}

// place is the position of an epoch that is there, dated by the log's clock if that shows a time
// that is not ahead.
func place(epoch uint64, a Answer, now time.Time) position {
	t := a.Object.ModTime
	if t.IsZero() || t.After(now) {
		return position{epoch: epoch, since: now}
	}
	return position{epoch, t, true}
}
