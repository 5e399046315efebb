package audit

import (
	"errors"
	"fmt"
	"time"
)

// ErrTooRecent: what was found would reject the epoch, but was written so short a time ago that it
// may still be being written. Retry later.
var ErrTooRecent = errors.New("looks wrong, but was written so recently that it may be incomplete")

// tooRecentError is an ErrTooRecent that knows when to try again. It hides its cause from
// errors.Is, lest it be taken for a rejection.
type tooRecentError struct {
	cause error
	after time.Duration
}

func (e *tooRecentError) Error() string {
	return fmt.Sprintf("%v: it %v, and settles for %s", e.cause, ErrTooRecent, e.after.Round(time.Second))
}

func (e *tooRecentError) Is(target error) bool { return target == ErrTooRecent }

// RetryAfter returns how long to wait before an epoch is tried again that was refused with an
// ErrTooRecent.
func RetryAfter(err error) (after time.Duration, ok bool) {
	tooRecent, ok := errors.AsType[*tooRecentError](err)
	if !ok {
		return 0, false
	}
	return tooRecent.after, true
}

// oldEnough returns nil if cause, something wrong with an object that was last written at that
// time, may be held against the log, and an ErrTooRecent otherwise.
//
// On a local disk a file can be read while cp or rsync is still writing it, under its own name or a
// temporary one; its first half looks like a malformed or a wrong batch, and does so however often
// it is read in a short time. A store that does not say when an object was written never shows half
// of one.
//
// A log that keeps touching an object puts off the rejection, but gains nothing that it would not
// have by publishing nothing: the epoch is missing. A time that lies in the future by more than the
// clocks of two machines differ does not put off anything.
func (a *Auditor) oldEnough(written time.Time, cause error) error {
	if written.IsZero() {
		return nil
	}
	if age := time.Since(written); age.Abs() < a.MinAge {
		return &tooRecentError{cause, a.MinAge - age}
	}
	return nil
}
