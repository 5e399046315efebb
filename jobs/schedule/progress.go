package schedule

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/jobs/frontier"
)

// recentEpochs is how many of a log's newest epochs go on the fresh queue. All before them are
// history.
const recentEpochs = 1000

// progress is the few facts that the goroutines of one log share: which epochs are history, how far
// the log and its audit are, and whether history can be worked on.
type progress struct {
	first  uint64 // epoch of the audit
	recent uint64 // how many epochs up to the newest are not history

	newest   atomic.Uint64 // the newest epoch known to be published; 0: none
	complete atomic.Bool   // newest was searched for to the end of the log
	cadence  atomic.Int64  // how often the log publishes, as far as is known
	// the last epoch up to which all are verified; 0: none or not known
	verified atomic.Uint64
	// what the last round of history ended with; nil: there was none yet
	history atomic.Pointer[historyResult]
	// the lowest epoch of history that waits for a key; nil: none
	keyless atomic.Pointer[keyless]
}

func newProgress(first uint64) *progress { return &progress{first: first, recent: recentEpochs} }

// published returns the newest epoch known to be published. It is below the first one while none
// is.
func (p *progress) published() uint64 { return p.newest.Load() }

// setPublished notes a newer epoch.
func (p *progress) setPublished(epoch uint64) { p.newest.Store(epoch) }

// searched reports whether the log was searched to its end once, so that published is not only the
// newest epoch with a verdict.
func (p *progress) searched() bool { return p.complete.Load() }

// setSearched notes that the log was searched to its end. The newest epoch must be noted before.
func (p *progress) setSearched() { p.complete.Store(true) }

// setCadence notes how often the log publishes.
func (p *progress) setCadence(each time.Duration) { p.cadence.Store(int64(each)) }

// skippedAfter returns for how long an epoch must have been missing, though a later one is there,
// before the log has skipped it.
func (p *progress) skippedAfter() time.Duration {
	return frontier.SkippedAfter(time.Duration(p.cadence.Load()))
}

// recentFrom returns the first epoch that is not history while newest is the newest one.
func (p *progress) recentFrom(newest uint64) uint64 {
	if newest <= p.recent {
		return p.first
	}
	return max(p.first, newest-p.recent+1)
}

// endOfHistory returns the last epoch that is history; 0 while there is none.
func (p *progress) endOfHistory() uint64 {
	newest := p.published()
	if newest < p.first {
		return 0
	}
	if from := p.recentFrom(newest); from > p.first {
		return from - 1
	}
	return 0
}

// verifiedUpTo returns the last epoch up to which all are verified; 0 if there is none or it is not
// known.
func (p *progress) verifiedUpTo() uint64 { return p.verified.Load() }

func (p *progress) setVerifiedUpTo(epoch uint64) { p.verified.Store(epoch) }

// RoundWithin is how long it takes at most from the end of one round to that of the next, if they
// are so far apart. A scheduler that takes longer hangs.
func RoundWithin(poll time.Duration) time.Duration { return roundTimeout + 3*poll }

// historyResult is what a round of history ended with, and when.
type historyResult struct {
	err error
	at  time.Time
}

// historyTrouble returns what is wrong with the work at history, of which there is a round each
// poll, and whether there was a round yet.
func (p *progress) historyTrouble(now time.Time, poll time.Duration) (err error, known bool) {
	switch last := p.history.Load(); {
	case last == nil:
		return nil, false
	case last.err == nil && now.Sub(last.at) > RoundWithin(poll):
		return fmt.Errorf("history was not looked at since %s", last.at.UTC().Format(time.RFC3339)), true
	default:
		return last.err, true
	}
}

func (p *progress) setHistoryResult(err error, at time.Time) {
	p.history.Store(&historyResult{err, at})
}

// keylessHistory returns the lowest epoch of history that waits for a key.
func (p *progress) keylessHistory() keyless {
	if k := p.keyless.Load(); k != nil {
		return *k
	}
	return keyless{}
}

func (p *progress) setKeylessHistory(k keyless) { p.keyless.Store(&k) }
