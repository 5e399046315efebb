package resume_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/internal/resume"
)

func TestProgressStartsTheCountAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		received int
		want     int // failures until the end; 0: no end
	}{
		{"nothing comes", 0, 3},
		{"too little comes", resume.MinProgress - 1, 3},
		{"enough comes", resume.MinProgress, 0},
	} {
		b := resume.NewBody(3, time.Second)
		failures := 0
		for again := true; again && failures < 100; failures++ {
			b.Received(c.received)
			again = b.Failed()
		}
		if want := c.want; failures != want && !(want == 0 && failures == 100) {
			t.Errorf("%s: the end came after %d failures, want %d", c.name, failures, want)
		}
	}
}

func TestWaitsDoubleAndStartAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := resume.NewBody(100, time.Second)
		near := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			b.Failed()
			if err := b.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d < want/2 || d > want*3/2 {
				t.Errorf("waited %s, want about %s", d, want)
			}
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
			near(want * time.Second)
		}
		b.Received(resume.MinProgress)
		near(time.Second)
	})
}

func TestContextEndsWait(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := resume.NewBody(2, time.Hour).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}
