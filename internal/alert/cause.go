package alert

import (
	"context"
	"strings"
	"time"
)

// cause says what makes several alerts of a namespace one message: their kind, reason and status.
// It is a plain segment of a key.
func (a Alert) cause() string {
	cause := classOf(a.noticeName())
	if a.Reason != "" {
		cause += "." + a.Reason
	}
	return cause
}

// classOf is the part of a notice's name that all notices of its kind and status share.
func classOf(notice string) string {
	class, _, _ := strings.Cut(notice, ".")
	return class
}

// isPaused reports whether the target hears no more of an alert's cause for now.
func (s *sender) isPaused(a Alert, now time.Time) bool {
	return !s.isQuiet(a) && s.pauses.IsPaused(a.cause(), now)
}

// isQuiet reports whether an alert disturbs nobody.
func (s *sender) isQuiet(a Alert) bool { return s.target.QuietEnds && a.Resolved() }

// isKnownPaused is isPaused for a notice, as far as it was loaded.
func (s *sender) isKnownPaused(name string, now time.Time) bool {
	a, ok := s.dispatcher.loaded(name)
	return ok && s.isPaused(a, now)
}

// beginPause is called when a message about a cause was sent.
//
// Marks come before it. A crash between the two makes the next message about the cause come early,
// and loses nothing.
func (s *sender) beginPause(ctx context.Context, cause string) error {
	ctx, cancel := detach(ctx, storeTimeout)
	defer cancel()
	return s.pauses.Begin(ctx, cause)
}
