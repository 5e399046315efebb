package patience_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
)

// lasts is how long an operation lasts whose source brings n bytes after each interval, up to an
// hour; the caller takes its time in between.
func lasts(t *testing.T, l patience.Limits, n int, every, idle time.Duration) (waited time.Duration, err error) {
	ctx, p := patience.New(t.Context(), l)
	defer p.Close()
	for waited < time.Hour {
		p.Start()
		began := time.Now()
		select {
		case <-ctx.Done():
			return waited + time.Since(began), p.Exceeded(ctx)
		case <-time.After(every):
		}
		waited += every
		p.Earn(n)
		p.Stop()
		time.Sleep(idle)
	}
	return waited, p.Exceeded(ctx)
}

// TestHostileRates says how long a slow source is waited for.
func TestHostileRates(t *testing.T) {
	t.Parallel()
	limits := patience.Limits{Grace: 40 * time.Second, MinRate: 1000}
	total := limits
	total.Total = 2 * time.Minute
	for _, c := range []struct {
		name     string
		limits   patience.Limits
		n        int
		every    time.Duration
		from, to time.Duration // 0: it lasts as long as it takes
	}{
		{"nothing comes", limits, 0, time.Hour, 40 * time.Second, 40 * time.Second},
		{"a byte every ten seconds", limits, 1, 10 * time.Second, 40 * time.Second, 41 * time.Second},
		{"nine tenths of the rate", limits, 900, time.Second, 390 * time.Second, 410 * time.Second},
		{"the rate and some more", limits, 1001, time.Second, 0, 0},
		{"it begins too late", limits, 1 << 30, 61 * time.Second, 40 * time.Second, 40 * time.Second},
		{"much each minute but one second", limits, 1 << 30, 39 * time.Second, 0, 0},
		{"fast, and no end", total, 1 << 30, time.Second, 2 * time.Minute, 2 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			got, err := lasts(t, c.limits, c.n, c.every, time.Hour)
			if c.to == 0 && err != nil || c.to != 0 && (!errors.Is(err, patience.ErrSlow) || got < c.from || got > c.to) {
				t.Errorf("%s: %s, %v", c.name, got, err)
			}
		})
	}
}

func TestTheCallersEndIsNoFault(t *testing.T) {
	t.Parallel()
	caller, cancel := context.WithCancel(t.Context())
	ctx, p := patience.New(caller, patience.Limits{Grace: time.Hour, MinRate: 1})
	defer p.Close()
	p.Start()
	cancel()
	<-ctx.Done()
	if err := p.Exceeded(ctx); err != nil {
		t.Error(err)
	}
}

func TestErrorTellsWhatFailedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, p := patience.New(t.Context(), patience.Limits{Grace: time.Second, MinRate: 1})
		defer p.Close()
		patience.Of(ctx).Note(errors.New("503"))
		patience.Of(ctx).Note(context.Canceled)
		p.Start()
		<-ctx.Done()
		if err := p.Exceeded(ctx); err == nil || !strings.Contains(err.Error(), "0 bytes came in 1s") || !strings.Contains(err.Error(), "503") {
			t.Error(err)
		}
	})
	var none *patience.Patience
	none.Start()
	none.Earn(1)
	none.Stop()
	none.Note(errors.New("x"))
}

// Time in which we keep the source waiting ourselves counts for none of the clocks that an
// operation is under, and those that stood still before go on standing still.
func TestPauseStopsAllClocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outer, whole := patience.New(t.Context(), patience.Limits{Grace: time.Minute, MinRate: 1})
		defer whole.Close()
		ctx, one := patience.New(outer, patience.Limits{Grace: time.Minute, MinRate: 1})
		defer one.Close()
		whole.Start()
		resume := patience.Pause(ctx)
		time.Sleep(time.Hour)
		resume()
		if ctx.Err() != nil {
			t.Error("the pause counted")
		}
		time.Sleep(2 * time.Minute)
		if one.Exceeded(ctx) != nil || whole.Exceeded(outer) == nil {
			t.Error("after the pause, what ran before does not run, or what stood still does")
		}
	})
}

// Requests that are made ahead may pause the clock before anybody waits for them.
func TestPauseBeforeAnybodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, p := patience.New(t.Context(), patience.Limits{Grace: time.Minute, MinRate: 1})
		defer p.Close()
		first, second := patience.Pause(ctx), patience.Pause(ctx)
		p.Start()
		time.Sleep(time.Hour)
		second()
		p.Earn(1)
		time.Sleep(time.Hour)
		first()
		if p.Exceeded(ctx) != nil {
			t.Error("the pauses counted")
		}
		p.Start()
		time.Sleep(30 * time.Second)
		p.Stop()
		resume := patience.Pause(ctx)
		resume()
		time.Sleep(time.Hour)
		if p.Exceeded(ctx) != nil {
			t.Error("the end of a pause let the clock run with nobody waiting")
		}
		p.Start()
		time.Sleep(31 * time.Second)
		if p.Exceeded(ctx) == nil {
			t.Error("after the pauses, the clock does not run")
		}
	})
}
