package audit

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnsettled: what was found would reject the epoch, but was written so short a time ago that it may still be being written.
// Retry later.
var ErrUnsettled = errors.New("written too recently to be held against the log")

// defaultSettle is longer than any copy to a local disk stands still.
const defaultSettle = time.Minute

// unsettledError is an ErrUnsettled that knows when to look again. It hides its cause from errors.Is, lest that be taken for a
// finding.
type unsettledError struct {
	cause error
	after time.Duration
}

func (e *unsettledError) Error() string {
	return fmt.Sprintf("%v, look again in %s: %v", ErrUnsettled, e.after.Round(time.Second), e.cause)
}

func (e *unsettledError) Is(target error) bool { return target == ErrUnsettled }

// RetryAfter returns when to look again at an epoch that was refused with an ErrUnsettled.
func RetryAfter(err error) (after time.Duration, ok bool) {
	unsettled, ok := errors.AsType[*unsettledError](err)
	if !ok {
		return 0, false
	}
	return unsettled.after, true
}

// settled returns nil if cause, a finding about an object that was last written at that time, may be held against the log, and an
// ErrUnsettled otherwise.
//
// On a local disk a file can be read while cp or rsync is still writing it, under its own name or a temporary one; its first half
// looks like a malformed or a wrong batch, and does so however often it is read in a short time. A store that does not say
// when an object was written never shows half of one.
//
// A log that keeps touching an object puts off the rejection, but gains nothing that it would not have by publishing nothing:
// the epoch is missing. A time that lies in the future by more than the clocks of two machines differ does not put off anything.
func (a *Auditor) settled(written time.Time, cause error) error {
	if written.IsZero() {
		return nil
	}
	if age := time.Since(written); age.Abs() < a.Settle {
		return &unsettledError{cause, a.Settle - age}
	}
	return nil
}
