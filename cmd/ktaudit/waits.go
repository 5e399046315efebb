package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/worker"
)

// waitLogEvery is how often a run says in the log what it waits for, where there is no bar.
const waitLogEvery = time.Minute

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
			logAt = now.Add(waitLogEvery)
		case !now.Before(logAt):
			logAt = now.Add(waitLogEvery)
			a.log.Warn().Msg(waitingFor(*w))
		}
	}
}

// waitingFor is one line that says which epoch is waited for, why, and for how long.
func waitingFor(w worker.Wait) string {
	why := strings.TrimPrefix(text.Clean(w.Why, maxWhy), fmt.Sprintf("epoch %d: ", w.Epoch))
	line := fmt.Sprintf("waiting for epoch %d until %s: %s", w.Epoch, clockText(w.Until), why)
	if w.More > 0 {
		line = fmt.Sprintf("waiting for epoch %d, and %d more, until %s: %s", w.Epoch, w.More, clockText(w.Until), why)
	}
	return line
}
