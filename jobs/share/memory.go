package share

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
)

const (
	// reclaimAfter is how long a log waits for what it lent before it is taken from the borrower.
	reclaimAfter = 2 * time.Second
	// reclaimIdleAfter is how long it waits if nothing has come of what the borrower took it for.
	reclaimIdleAfter = 200 * time.Millisecond
	// growPatience is how long an epoch waits for more memory before one of its log's is put back.
	growPatience = 5 * time.Second
	// reviewEvery is how often those who wait are looked after.
	reviewEvery = 100 * time.Millisecond
)

// Memory bounds the memory of all epochs in flight in a process. What is held never adds up to more
// than its size.
//
// Each log has an equal share, and may borrow what is free. An epoch begins with all that it may
// need. What it evidently does not need for now, because its body gives next to nothing, it gives
// back (Shrink), and it asks for it again should it come after all (Grow). The rules, and why
// nobody waits for ever:
//
//  1. Within a log who came first is served first, and who asks for more before who begins.
//  2. A log within its share goes before those beyond theirs. If there is not enough, it has it
//     within seconds: the youngest epochs of logs beyond their shares are reclaimed, which ends
//     their work and costs them nothing but that.
//  3. Beyond the shares who came first is served first: no smaller request overtakes a bigger one.
//  4. An epoch of more than a share ("big") is not reclaimed once its body comes as it should,
//     for the first five minutes in which others wait, but there is one such at a time. Should
//     others, within their shares, keep it from beginning for a minute, none of them begins until
//     it has, and the slow ones are reclaimed. After a big one its log has none for five times as
//     long as others had to wait for it: the big epochs of a log cost them a sixth of their time.
//     Where those who waited are big themselves it is for as long as they had to, and of several
//     logs with big ones that goes first whose have taken least time.
//  5. Waiting for more while holding some could be a deadlock. It is none because it ends: after
//     some seconds the oldest epoch of a log puts the log's youngest back, one after the other, and
//     any other one is put back itself. Alone in its log and beyond the share it does the same to
//     slow epochs of other logs beyond theirs, of which the older one goes on.
type Memory struct {
	size int64

	mu   sync.Mutex
	used int64
	logs map[string]*memoryLog
	seq  int
	turns
}

type memoryLog struct {
	held    int64
	holds   []*Hold         // oldest first
	waiting []*memoryWaiter // who is served first is first
	big     logTurns
}

type memoryWaiter struct {
	n       int64
	seq     int
	hold    *Hold // that is to grow; nil: one begins
	since   time.Time
	big     bool
	granted chan struct{}
}

// NewMemory returns a budget of so many bytes, without logs.
func NewMemory(size int64) *Memory { return &Memory{size: size, logs: map[string]*memoryLog{}} }

// Join gives a log a share.
func (m *Memory) Join(log string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.join(log)
}

func (m *Memory) join(log string) *memoryLog {
	if m.logs[log] == nil {
		m.logs[log] = &memoryLog{}
	}
	return m.logs[log]
}

// Size returns the budget in bytes.
func (m *Memory) Size() int64 { return m.size }

// Used returns how many bytes are set aside now.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Share returns how many bytes are each log's.
func (m *Memory) Share() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.share()
}

// share is the part of each log. The lock is held.
func (m *Memory) share() int64 { return m.size / int64(max(1, len(m.logs))) }

// Acquire waits until n bytes are set aside for an epoch of a log, or all there are if n is more.
// The work is to end when the context that comes back does: with ErrReclaimed as its cause, another
// epoch has the better claim. The caller must Release the hold in any case, and soon.
func (m *Memory) Acquire(ctx context.Context, log string, n int64) (*Hold, context.Context, error) {
	n = min(max(n, 0), m.size)
	m.mu.Lock()
	l := m.join(log)
	h := &Hold{memory: m, log: l, big: n > m.share(), unproven: true}
	ctx, h.revoke = context.WithCancelCause(ctx)
	w := m.wait(l, n, nil)
	m.mu.Unlock()
	if err := m.await(ctx, l, w); err != nil {
		h.revoke(nil)
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// The bytes are counted already; only the hold is not known yet.
	h.held, h.seq = n, w.seq
	at, _ := slices.BinarySearchFunc(l.holds, h, func(a, b *Hold) int { return cmp.Compare(a.seq, b.seq) })
	l.holds = slices.Insert(l.holds, at, h)
	return h, ctx, nil
}

// wait puts a request in line and serves who can be served. The lock is held.
func (m *Memory) wait(l *memoryLog, n int64, growing *Hold) *memoryWaiter {
	m.seq++
	w := &memoryWaiter{n: n, seq: m.seq, hold: growing, since: time.Now(), big: n > m.share(), granted: make(chan struct{})}
	at := len(l.waiting)
	if growing != nil {
		w.seq, w.big = growing.seq, l.held+n > m.share()
		at = slices.IndexFunc(l.waiting, func(o *memoryWaiter) bool { return o.hold == nil || o.seq > w.seq })
		if at < 0 {
			at = len(l.waiting)
		}
	}
	l.waiting = slices.Insert(l.waiting, at, w)
	m.serve()
	return w
}

// await waits for a request to be granted.
func (m *Memory) await(ctx context.Context, l *memoryLog, w *memoryWaiter) error {
	defer patience.Pause(ctx)()
	ticker := time.NewTicker(reviewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.granted:
			return nil
		case <-ticker.C:
			m.mu.Lock()
			m.review(l, w)
			m.serve()
			m.mu.Unlock()
		case <-ctx.Done():
			m.mu.Lock()
			defer m.mu.Unlock()
			select {
			case <-w.granted: // at the same moment; what grew is given back with the rest
				if w.hold == nil {
					m.give(l, -w.n, w.big)
				}
			default:
				l.waiting = slices.DeleteFunc(l.waiting, func(o *memoryWaiter) bool { return o == w })
			}
			m.serve()
			if context.Cause(ctx) == ErrReclaimed {
				return ErrReclaimed
			}
			return ctx.Err()
		}
	}
}

// review is rule 5.
func (m *Memory) review(l *memoryLog, w *memoryWaiter) {
	if w.hold == nil || time.Since(w.since) < growPatience {
		return
	}
	switch oldest := l.holds[0]; {
	case oldest != w.hold:
		w.hold.reclaim()
	case len(l.holds) > 1:
		l.holds[len(l.holds)-1].reclaim()
	case l.held+w.n > m.share():
		m.reclaimBeyond(l, w)
	}
}

// reclaimBeyond takes from another log the youngest slow epoch, for one that waits to have more
// than its log's share: at first only a younger one that has, or waits for, more than a share
// itself, so that of two that wait for each other the older one goes on; when it is its turn, any.
// The lock is held.
func (m *Memory) reclaimBeyond(own *memoryLog, w *memoryWaiter) {
	turn := time.Since(w.since) >= turnAfter
	var victim *Hold
	for _, l := range m.logs {
		if l == own {
			continue
		}
		beyond := l.held > m.share() || len(l.waiting) > 0 && l.waiting[0].hold != nil && l.held+l.waiting[0].n > m.share()
		for _, h := range l.holds {
			if h.revoked && h.held > 0 {
				return // something will be free soon
			}
			if h.slow && h.held > 0 && (turn || beyond && h.seq > w.seq) && (victim == nil || h.seq > victim.seq) {
				victim = h
			}
		}
	}
	if victim != nil {
		victim.reclaim()
	}
}

// reclaim ends the work of a hold, whose memory is free when it is released. The lock is held.
func (h *Hold) reclaim() {
	h.revoked = true
	h.revoke(ErrReclaimed)
}

// give counts n bytes as a log's, or gives -n back.
func (m *Memory) give(l *memoryLog, n int64, big bool) {
	m.used += n
	l.held += n
	switch {
	case big && n > 0:
		m.beginBig(l)
	case big:
		m.endBig(l)
	}
}

// serve grants what can be granted. The lock is held.
func (m *Memory) serve() {
	for m.serveOne() {
	}
}

// serveOne grants one request, if there is one to grant.
func (m *Memory) serveOne() bool {
	var within, beyond []*memoryLog // by whom is served first
	for _, l := range m.logs {
		switch {
		case len(l.waiting) == 0:
		case l.held+l.waiting[0].n <= m.share():
			within = append(within, l)
		default:
			beyond = append(beyond, l)
		}
	}
	first := func(a, b *memoryLog) int {
		return cmp.Or(a.waiting[0].since.Compare(b.waiting[0].since), cmp.Compare(a.waiting[0].seq, b.waiting[0].seq))
	}
	slices.SortFunc(within, first)
	slices.SortFunc(beyond, first)
	orderBig(beyond)
	m.endTurn(within, beyond)

	if turn := m.turn(beyond); turn != nil { // rule 4
		if m.used+turn.waiting[0].n <= m.size {
			m.grant(turn)
			return true
		}
		m.reclaimBeyond(turn, turn.waiting[0])
		if len(within) > 0 {
			m.contend()
		}
		within = slices.DeleteFunc(within, func(l *memoryLog) bool { return l.waiting[0].hold == nil })
	}
	for _, l := range within {
		if m.used+l.waiting[0].n <= m.size {
			m.grant(l)
			return true
		}
	}
	if len(within) > 0 && m.big > 0 {
		m.contend()
	}
	for _, l := range within { // rule 2
		if waited := time.Since(l.waiting[0].since); waited >= reclaimIdleAfter {
			m.reclaimFor(l.waiting[0].n, waited < reclaimAfter)
		}
	}
	if len(within) > 0 {
		return false // what becomes free is theirs
	}
	for _, l := range beyond { // rule 3
		w := l.waiting[0]
		if w.begins() && (m.big > 0 || l.rests()) {
			continue
		}
		if m.used+w.n > m.size {
			return false
		}
		m.grant(l)
		return true
	}
	return false
}

func (m *Memory) grant(l *memoryLog) {
	w := l.waiting[0]
	l.waiting = l.waiting[1:]
	m.give(l, w.n, w.big && w.hold == nil)
	if w.hold != nil {
		w.hold.held += w.n
	}
	close(w.granted)
}

// reclaimFor takes so much back that n bytes will be free, as far as there is anything to take;
// with idle only from big epochs of which nothing has come.
func (m *Memory) reclaimFor(n int64, idle bool) {
	lack := m.used + n - m.size
	over := map[*memoryLog]int64{} // by how much logs are beyond their shares
	for _, l := range m.logs {
		over[l] = l.held - m.share()
		for _, h := range l.holds {
			if h.revoked {
				lack -= h.held
				over[l] -= h.held
			}
		}
	}
	for lack > 0 {
		var victim *Hold
		for l, by := range over {
			if by <= 0 || victim != nil && by <= over[victim.log] {
				continue
			}
			for _, h := range slices.Backward(l.holds) {
				mayBe := h.big && h.unproven || !idle && (!h.big || h.slow)
				if !h.revoked && mayBe && h.held > 0 {
					victim = h
					break
				}
			}
		}
		if victim == nil {
			return
		}
		victim.reclaim()
		lack -= victim.held
		over[victim.log] -= victim.held
	}
}
