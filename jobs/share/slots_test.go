package share

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
)

// enter enters a slot that must be free.
func enter(t *testing.T, s *Slots, log string) *Slot {
	t.Helper()
	slot := tryEnter(t, s, log)
	if slot == nil {
		t.Fatalf("no slot for %s", log)
	}
	return slot
}

// tryEnter returns nil if a slot does not come at once.
func tryEnter(t *testing.T, s *Slots, log string) *Slot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	slot, err := s.Enter(ctx, log, false)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return slot
}

func TestHostileLogHoldsNoSlotsOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(8, []string{"hostile", "honest"})
		var borrowed []*Slot
		for range 8 { // with nobody else about, it may have all
			borrowed = append(borrowed, enter(t, s, "hostile"))
		}
		if tryEnter(t, s, "hostile") != nil {
			t.Error("a log may have more than there are")
		}
		var own []*Slot
		for range 4 { // its share is there at once
			own = append(own, enter(t, s, "honest"))
		}
		for _, slot := range append(borrowed, own...) {
			slot.Progress()
		}
		if tryEnter(t, s, "honest") != nil {
			t.Error("beyond its share, while all are at work")
		}
		// What stalls does not count: two seconds later the other log has all slots.
		time.Sleep(stalledAfter)
		for _, slot := range own {
			slot.Progress()
		}
		for range 4 {
			slot, err := s.Enter(t.Context(), "honest", false)
			if err != nil {
				t.Fatal(err)
			}
			own = append(own, slot)
		}
		if tryEnter(t, s, "honest") != nil {
			t.Error("nine slots of eight")
		}
		if stall := s.Stalled()["hostile"]; stall.Epochs != 8 || stall.For < stalledAfter {
			t.Errorf("stalled: %+v", stall)
		}
		borrowed[0].Progress()
		if stall := s.Stalled()["hostile"]; stall.Epochs != 7 {
			t.Errorf("stalled: %+v", stall)
		}
		for _, slot := range append(borrowed, own...) {
			slot.Leave()
		}
		if s.work != 0 {
			t.Errorf("%d slots are in use", s.work)
		}
	})
}

func TestSlotsGoToWhoHasLeast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2, []string{"a", "b", "c"})
		first, second := enter(t, s, "a"), enter(t, s, "a")
		order := make(chan string, 9)
		wait := func(log string, urgent bool, name string) {
			go func() {
				if slot, err := s.Enter(t.Context(), log, urgent); err == nil {
					order <- name
					slot.Leave()
				}
			}()
			synctest.Wait()
		}
		keep := time.NewTicker(time.Second)
		defer keep.Stop()
		wait("a", false, "a's old")
		wait("a", true, "a's fresh")
		if len(order) != 0 {
			t.Error("more than two")
		}
		wait("b", false, "b")
		if got := <-order; got != "b" {
			t.Errorf("%s went before who has nothing", got)
		}
		second.Leave()
		synctest.Wait()
		if got := []string{<-order, <-order}; got[0] != "a's fresh" {
			t.Errorf("order is %q", got)
		}
		first.Leave()
		// Who does not wait any more gets nothing.
		first, second = enter(t, s, "a"), enter(t, s, "a")
		if tryEnter(t, s, "a") != nil {
			t.Error("more than two")
		}
		first.Leave()
		second.Leave()
		if s.work != 0 {
			t.Errorf("%d slots are in use", s.work)
		}
	})
}

// An epoch that waits for memory, or for a turn at our own rate, is no sign that its log gives
// nothing: as with any history of big epochs, of which few fit into memory at a time.
func TestOwnWaitIsNoStallOfTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m := NewSlots(2, []string{"a"}), budget("a")
		first := ask(t, m, "a", 80)
		slot := enter(t, s, "a")
		ctx, cancel := context.WithTimeout(slot.Context(t.Context()), time.Minute)
		defer cancel()
		ended := make(chan error)
		go func() {
			_, _, err := m.Acquire(ctx, "a", 80)
			ended <- err
		}()
		time.Sleep(30 * time.Second)
		if stall := s.Stalled()["a"]; stall.Epochs != 0 {
			t.Errorf("%+v while the epoch waits for memory", stall)
		}
		if <-ended == nil {
			t.Fatal("it has more than there is")
		}
		resume := patience.Pause(ctx)
		time.Sleep(30 * time.Second)
		if stall := s.Stalled()["a"]; stall.Epochs != 0 {
			t.Errorf("%+v while the epoch waits for its turn", stall)
		}
		resume()
		time.Sleep(30 * time.Second)
		if stall := s.Stalled()["a"]; stall.Epochs != 1 || stall.For != 30*time.Second {
			t.Errorf("%+v once the log alone is waited for", stall)
		}
		slot.Leave()
		first.hold.Release()
	})
}
