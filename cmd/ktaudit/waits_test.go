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

// Where there is no bar, a run says in the log what it waits for: after some seconds, and then once
// a minute, until it waits no more.
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
		waitFor(waitLogFirst, w)
		if lines() != 0 {
			t.Errorf("within %s it says %s", waitLogFirst, log.String())
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
		if line := waitingFor(worker.Wait{Epoch: 4, Why: "epoch 4: rejected", Until: time.Now().Add(time.Hour), Again: time.Now()}); strings.Contains(line, "until") ||
			!strings.Contains(line, "waiting for epoch 4, which is looked at again at "+clockText(time.Now())) {
			t.Errorf("of an epoch that is too recent it says %s", line)
		}
		before := lines()
		waitFor(3*time.Minute, nil)
		waitFor(waitLogFirst, w) // anew
		if lines() != before {
			t.Errorf("after it waited no more it says %s", log.String())
		}
	})
}
