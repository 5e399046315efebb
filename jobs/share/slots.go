package share

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/jobs/observe"
)

const (
	// stalledAfter is how long an epoch may come no further and still count as work.
	stalledAfter = 2 * time.Second
	// sweepEvery is how often stalled epochs are looked for while others wait.
	sweepEvery = 100 * time.Millisecond
)

// Slots bounds how many epochs a process works on at once.
//
// Each log has an equal share, and what is free beyond the shares goes to whom has least. Four
// rules make that safe against a log that holds all it can:
//
//   - A log below its share waits for nobody: it may start even if others, who borrowed, hold all
//     slots. So there may be more epochs at work than slots, less than twice as many, until those
//     who borrowed are done.
//   - An epoch that comes no further for two seconds does not count until it does. It holds
//     a place among its own log's epochs, of which the log's queue gives so many at once.
//   - Of a log's epochs that wait the fresh ones go first, then who came first.
//   - Nobody holds one slot and waits for another, so there is no deadlock.
type Slots struct {
	total, share int
	now          func() time.Time

	mu   sync.Mutex
	work int // slots that count
	logs map[string]*slotLog
	seq  int
}

type slotLog struct {
	work    int // slots that count
	held    map[*Slot]bool
	waiting []*slotWaiter // who goes first is first
}

type slotWaiter struct {
	urgent bool
	seq    int
	slot   chan *Slot // of one
}

// Slot is the right to work on one epoch.
type Slot struct {
	slots   *Slots
	log     *slotLog
	counts  bool
	last    time.Time // when it last came further
	stalled time.Time // since when it has not; zero: it has
	waits   int       // for what is not the log's: memory, or a turn at our own rate
}

// NewSlots returns so many slots for the logs.
func NewSlots(total int, logs []string) *Slots {
	s := &Slots{total: total, share: max(1, total/max(1, len(logs))), now: time.Now, logs: map[string]*slotLog{}}
	for _, log := range logs {
		s.logs[log] = &slotLog{held: map[*Slot]bool{}}
	}
	return s
}

// Enter waits for a slot for an epoch of one of the logs. The caller must Leave it.
func (s *Slots) Enter(ctx context.Context, log string, urgent bool) (*Slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := s.logs[log]
	w := &slotWaiter{urgent: urgent, slot: make(chan *Slot, 1)}
	s.mu.Lock()
	s.seq++
	w.seq = s.seq
	at := len(l.waiting)
	if urgent {
		at = slices.IndexFunc(l.waiting, func(o *slotWaiter) bool { return !o.urgent })
		if at < 0 {
			at = len(l.waiting)
		}
	}
	l.waiting = slices.Insert(l.waiting, at, w)
	s.grant()
	s.mu.Unlock()

	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case slot := <-w.slot:
			return slot, nil
		case <-ticker.C:
			s.Sweep()
		case <-ctx.Done():
			s.mu.Lock()
			l.waiting = slices.DeleteFunc(l.waiting, func(o *slotWaiter) bool { return o == w })
			s.mu.Unlock()
			select {
			case slot := <-w.slot: // it came at the same moment
				slot.Leave()
			default:
			}
			return nil, ctx.Err()
		}
	}
}

// Sweep takes the slots of epochs that come no further out of the count.
func (s *Slots) Sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, l := range s.logs {
		for slot := range l.held {
			if slot.counts && now.Sub(slot.last) >= stalledAfter {
				slot.count(false)
				slot.stalled = slot.last
			}
		}
	}
	s.grant()
}

// grant gives slots to all who may have one. The lock is held.
func (s *Slots) grant() {
	for {
		var next *slotLog
		for _, l := range s.logs {
			switch {
			case len(l.waiting) == 0 || l.work >= s.share && s.work >= s.total:
			case next == nil || l.work < next.work || l.work == next.work && l.waiting[0].seq < next.waiting[0].seq:
				next = l
			}
		}
		if next == nil {
			return
		}
		w := next.waiting[0]
		next.waiting = next.waiting[1:]
		slot := &Slot{slots: s, log: next, last: s.now()}
		slot.count(true)
		next.held[slot] = true
		w.slot <- slot
	}
}

func (slot *Slot) count(counts bool) {
	if slot.counts == counts {
		return
	}
	slot.counts = counts
	n := 1
	if !counts {
		n = -1
	}
	slot.log.work += n
	slot.slots.work += n
}

// Context returns a context for the work on the epoch, under which Progress and patience.Pause are
// about the slot.
func (slot *Slot) Context(ctx context.Context) context.Context {
	return patience.Pausable(context.WithValue(ctx, progressKey{}, slot.Progress), slot.wait)
}

// wait says that the epoch waits for what is not the log's, until the function that it returns is
// called. It counts as one that comes no further, but that is no stall of its log.
func (slot *Slot) wait() (done func()) {
	s := slot.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	slot.waits++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		slot.waits--
		slot.last = s.now()
		if !slot.stalled.IsZero() {
			slot.stalled = slot.last
		}
	}
}

// Progress says that the epoch came further.
func (slot *Slot) Progress() {
	s := slot.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	slot.last = s.now()
	if slot.log.held[slot] {
		slot.count(true)
		slot.stalled = time.Time{}
	}
}

// Leave gives the slot back.
func (slot *Slot) Leave() {
	s := slot.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	slot.count(false)
	delete(slot.log.held, slot)
	s.grant()
}

// Stalled returns, for each log, the epochs that come no further and wait for nothing but the log.
func (s *Slots) Stalled() map[string]observe.Stall {
	s.Sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	stalls := map[string]observe.Stall{}
	for name, l := range s.logs {
		stall := observe.Stall{}
		for slot := range l.held {
			if !slot.stalled.IsZero() && slot.waits == 0 {
				stall = observe.Stall{Epochs: stall.Epochs + 1, For: max(stall.For, s.now().Sub(slot.stalled))}
			}
		}
		stalls[name] = stall
	}
	return stalls
}
