package worker

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// What a logLimit lets through.
const (
	limitLines  = 10
	limitPeriod = time.Minute
)

// logLimit keeps one trouble from flooding the log. With Redis gone or a full disk everything
// fails, again and again: ten thousand lines that say the same hide the one that doesn't. The zero
// value is ready to use.
type logLimit struct {
	mu      sync.Mutex
	began   time.Time // the period
	lines   int       // let through in it
	leftOut int       // since the last that was let through
}

// event starts a line of that level, or of debug if there were too many. The first line after that
// has how many were left out.
func (r *logLimit) event(log zerolog.Logger, level zerolog.Level) *zerolog.Event {
	event := log.WithLevel(level)
	if !event.Enabled() {
		return event // which takes nothing from those that are written
	}
	let, leftOut := r.take(time.Now())
	if !let {
		return log.Debug()
	}
	if leftOut > 0 {
		event = event.Int("left_out", leftOut)
	}
	return event
}

// take reports whether a line may be written now and, if so, how many could not be since the last
// one.
func (r *logLimit) take(now time.Time) (let bool, leftOut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.began) >= limitPeriod {
		r.began, r.lines = now, 0
	}
	if r.lines == limitLines {
		r.leftOut++
		return false, 0
	}
	r.lines++
	leftOut, r.leftOut = r.leftOut, 0
	return true, leftOut
}
