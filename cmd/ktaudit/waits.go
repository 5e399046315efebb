package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/worker"
)

// Where there is no bar, a run says in the log what it waits for: soon, for it may look as if
// nothing happened, and then now and then.
const waitLogFirst, waitLogEvery = 3 * time.Second, time.Minute

// showWaits returns what shows which epoch a run waits for: beside the bar, or else in the log.
func (a *app) showWaits() func(*worker.Wait) {
	var logAt time.Time // when it is said next; zero while nothing is waited for
	return func(w *worker.Wait) {
		if a.bars.isShown() {
			if w == nil {
				a.bars.note("")
			} else {
				a.bars.note(waitingFor(*w))
			}
			return
		}
		now := time.Now()
		switch {
		case w == nil:
			logAt = time.Time{}
		case logAt.IsZero():
			logAt = now.Add(waitLogFirst)
		case !now.Before(logAt):
			logAt = now.Add(waitLogEvery)
			a.log.Warn().Msg(waitingFor(*w))
		}
	}
}

// waitingFor is one line that says which epoch is waited for, why, and for how long.
func waitingFor(w worker.Wait) string {
	line := fmt.Sprintf("waiting for epoch %d", w.Epoch)
	if w.More > 0 {
		line += fmt.Sprintf(", and %d more", w.More)
	}
	if w.Again.IsZero() {
		line += fmt.Sprintf(", until %s", clockText(w.Until))
	} else {
		line += fmt.Sprintf(", which is looked at again at %s (--settle 0s is for a log that is completely written)", clockText(w.Again))
	}
	why := strings.TrimPrefix(text.Clean(w.Why, maxWhy), fmt.Sprintf("epoch %d: ", w.Epoch))
	return line + ": " + why
}
