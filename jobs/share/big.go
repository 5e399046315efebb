package share

import (
	"cmp"
	"slices"
	"time"
)

const (
	// turnAfter is how long an epoch of more than a share waits before the others make room for it.
	turnAfter = time.Minute
	// turnRest is how many times as long as such an epoch took its log has no other.
	turnRest = 5
	// longestTurn is how long others may have to wait for such an epoch before it is put back. A
	// log chooses how large its objects are, and how fast they come.
	longestTurn = 5 * time.Minute
)

// turns are whose turn it is to have a big epoch: rule 4 of Memory.
type turns struct {
	big int // how many are held
	// since when epochs within their logs' shares wait for this one, and since when a big one of
	// another log does
	contended, wanted time.Time
}

// logTurns are what big epochs of one log have had.
type logTurns struct {
	held    int
	began   time.Time
	took    time.Duration // all of them; of a log that had none for long, as if it had had some
	restEnd time.Time
}

// begins reports whether the request is of a big epoch that is to begin.
func (w *memoryWaiter) begins() bool { return w.big && w.hold == nil }

// rests reports whether no big epoch of the log may begin yet.
func (l *memoryLog) rests() bool { return time.Now().Before(l.big.restEnd) }

// orderBig has, of big epochs that are to begin, that of the log first whose others took least.
func orderBig(beyond []*memoryLog) {
	var places []int
	var logs []*memoryLog
	for i, l := range beyond {
		if l.waiting[0].begins() {
			places, logs = append(places, i), append(logs, l)
		}
	}
	slices.SortStableFunc(logs, func(a, b *memoryLog) int { return cmp.Compare(a.big.took, b.big.took) })
	for i, l := range logs {
		beyond[places[i]] = l
	}
}

func (m *Memory) beginBig(l *memoryLog) {
	m.big++
	l.big.held++
	l.big.began = time.Now()
	for _, o := range m.logs { // what was not used is not saved up
		l.big.took = max(l.big.took, o.big.took-longestTurn)
	}
}

// endBig begins the rest after a big epoch.
func (m *Memory) endBig(l *memoryLog) {
	m.big--
	l.big.held--
	l.big.took += time.Since(l.big.began)
	since := func(t time.Time) time.Duration {
		if t.IsZero() {
			return 0
		}
		return time.Since(t)
	}
	l.big.restEnd = time.Now().Add(max(turnRest*since(m.contended), since(m.wanted)))
	m.contended, m.wanted = time.Time{}, time.Time{}
}

// contend notes that others have to wait for a big epoch.
func (m *Memory) contend() {
	if m.contended.IsZero() {
		m.contended = time.Now()
	}
}

// endTurn puts the big epoch back for which others have waited for too long.
func (m *Memory) endTurn(within, beyond []*memoryLog) {
	if m.big == 0 {
		return
	}
	isWanted := slices.ContainsFunc(beyond, func(l *memoryLog) bool {
		return l.waiting[0].begins() && l.big.held == 0 && !l.rests()
	})
	if isWanted && m.wanted.IsZero() {
		m.wanted = time.Now()
	}
	isOver := func(since time.Time) bool { return !since.IsZero() && time.Since(since) >= longestTurn }
	if (len(within) == 0 || !isOver(m.contended)) && (!isWanted || !isOver(m.wanted)) {
		return
	}
	for _, l := range m.logs {
		for _, h := range l.holds {
			if h.big && !h.revoked {
				h.reclaim()
			}
		}
	}
}

// turn returns the log for whose big epoch the others make room, if it is time for one.
func (m *Memory) turn(beyond []*memoryLog) *memoryLog {
	if m.big > 0 {
		return nil
	}
	for _, l := range beyond {
		if l.waiting[0].big && time.Since(l.waiting[0].since) >= turnAfter && !l.rests() {
			return l
		}
	}
	return nil
}
