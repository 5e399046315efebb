package fetcher

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrNotPublished: nothing is under the epoch yet. Try again later.
	ErrNotPublished = errors.New("not published")
	// ErrChanged: the object was replaced between its listing and its last byte. Locate it again.
	ErrChanged = errors.New("object changed while it was read")
	// ErrTooLarge: the batch exceeds a limit of the Options. It is a finding: the same object exceeds it every time.
	ErrTooLarge = errors.New("batch too large")
	// ErrWindow comes with ErrTooLarge where the limit is MaxWindow. A Fetcher that allows more may read the same object.
	ErrWindow = errors.New("zstd window too large")
	// ErrCorrupt: the stored bytes are not what their compression format allows. All bytes that the store said it has
	// did arrive, so this is a finding, once a second Open has come to the same.
	ErrCorrupt = errors.New("corrupt compression")
)

// EquivocationError is a finding: the log published more than one batch for one epoch.
type EquivocationError struct {
	Epoch uint64
	// Keys are the objects' keys in order, at most 100 of them.
	Keys []string
	// More is how many further keys were seen before listing stopped, after 1,000.
	More int
}

// Error is one line of a bearable length, with the first keys in it. They are well-formed and can be printed.
func (e *EquivocationError) Error() string {
	named := e.Keys[:min(len(e.Keys), 4)]
	s := fmt.Sprintf("epoch %d has more than one batch: %s", e.Epoch, strings.Join(named, ", "))
	if more := len(e.Keys) - len(named) + e.More; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// NameError is a finding: no batch lies under the epoch, but something whose name is not one that a log may give a
// batch. Listing again finds the same, unless the log removes or renames it. Until that is certain, as it is some time
// after ModTime, it may also be a batch that is on its way under another name.
type NameError struct {
	Epoch uint64
	// Key is the first such object's key, cut off after 1,024 bytes. It is whatever the log made up.
	Key string
	// ModTime is when the last of such objects was written, if the store says so.
	ModTime time.Time
	// Err says what is wrong with it.
	Err error
}

// Error quotes the key, which may hold anything.
func (e *NameError) Error() string {
	return fmt.Sprintf("epoch %d: object %q is not a batch: %v", e.Epoch, e.Key, e.Err)
}

// Unwrap returns what is wrong with the name.
func (e *NameError) Unwrap() error { return e.Err }

// Transient reports whether err is a fault to try again after, as everything is that this package returns but the
// findings: ErrTooLarge, ErrCorrupt, *EquivocationError and *NameError.
func Transient(err error) bool {
	if err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt) {
		return false
	}
	_, equivocation := errors.AsType[*EquivocationError](err)
	_, name := errors.AsType[*NameError](err)
	return !equivocation && !name
}
