package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/rs/zerolog"
)

// Where there is no bar, a run says in the log what it waits for: after a minute, and then once a
// minute, until it waits no more.
func TestWaitsAreLoggedWithoutATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		show := (&app{log: zerolog.New(&log), bars: &bars{}}).showWaits()
		waitFor := func(d time.Duration, w *worker.Wait) {
			for range d / time.Second {
				show(w)
				time.Sleep(time.Second)
			}
		}
		lines := func() int { return strings.Count(log.String(), "\n") }
		w := &worker.Wait{Epoch: 12, Why: "epoch 12: not published", Until: time.Now().Add(time.Hour), More: 2}
		waitFor(time.Minute, w)
		if lines() != 0 {
			t.Errorf("within a minute it says %s", log.String())
		}
		waitFor(2*time.Minute, w)
		if lines() != 2 {
			t.Errorf("in two more minutes it says %q, want two lines", log.String())
		}
		for _, want := range []string{`"level":"warn"`, "waiting for epoch 12, and 2 more, until ", ": not published"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("it says %s, want %q in it", log.String(), want)
			}
		}
		before := lines()
		waitFor(3*time.Minute, nil)
		waitFor(time.Minute, w) // anew
		if lines() != before {
			t.Errorf("after it waited no more it says %s", log.String())
		}
	})
}
