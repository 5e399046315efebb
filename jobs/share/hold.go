package share

import (
	"context"
	"slices"
)

// Hold is memory that is set aside for one epoch.
type Hold struct {
	memory    *Memory
	log       *memoryLog
	held      int64
	seq       int
	big, slow bool
	unproven  bool // nothing to speak of has come yet
	hashing   bool
	revoked   bool
	revoke    context.CancelCauseFunc
}

// Shrink gives back all but n bytes, because the body of the epoch gives next to nothing. From then
// on the epoch counts as slow: it may be reclaimed, and has no part of the cores.
func (h *Hold) Shrink(n int64) {
	m := h.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	h.slow = true
	if back := h.held - n; back > 0 {
		m.give(h.log, -back, false)
		h.held = n
		if h.big && n <= m.share() {
			m.endBig(h.log)
			h.big = false
		}
	}
	m.serve()
}

// Proven says that the body of the epoch comes as it should.
func (h *Hold) Proven() {
	h.memory.mu.Lock()
	defer h.memory.mu.Unlock()
	h.unproven = false
}

// Grow waits until the hold has n bytes, or all there are if n is more. Its error is ErrReclaimed
// or that of the context, which is the hold's.
func (h *Hold) Grow(ctx context.Context, n int64) error {
	m := h.memory
	m.mu.Lock()
	more := min(n, m.size) - h.held
	if more <= 0 {
		m.mu.Unlock()
		return nil
	}
	w := m.wait(h.log, more, h)
	m.mu.Unlock()
	return m.await(ctx, h.log, w)
}

// Cores returns how many of n cores the hold's epoch may hash with: the logs have equal parts, and
// their epochs equal parts of these. Those that are slow have none.
func (h *Hold) Cores(n int) int {
	m := h.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	h.hashing = true
	logs, own := 0, 0
	for _, l := range m.logs {
		hashing := 0
		for _, o := range l.holds {
			if o.hashing && !o.slow {
				hashing++
			}
		}
		if hashing > 0 {
			logs++
		}
		if l == h.log {
			own = hashing
		}
	}
	return max(1, n/max(1, logs)/max(1, own))
}

// Release gives everything back.
func (h *Hold) Release() {
	m := h.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.give(h.log, -h.held, h.big)
	h.held, h.big = 0, false
	h.log.holds = slices.DeleteFunc(h.log.holds, func(o *Hold) bool { return o == h })
	h.revoke(nil)
	m.serve()
}
