package fetcher

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxShown is how much an error shows of one text that a log or a store chose, maxCause how much of
// the error text of a store, in which there may be several.
const (
	maxShown = 200
	maxCause = 500
)

var (
	// ErrNotPublished: nothing is under the epoch yet. Try again later. See NotPublishedError.
	ErrNotPublished = errors.New("not published")
	// ErrCrowded: more objects are under the epoch than are looked at, so that there is no telling
	// whether it has one batch. That is a limit of this package and no grounds for a rejection.
	ErrCrowded = errors.New("too many objects to tell")
	// ErrChanged: the object was replaced between its listing and its last byte. Locate it again.
	ErrChanged = errors.New("object changed while it was read")
	// ErrTooLarge: the batch exceeds a limit of the Options. It is grounds for a rejection, as one
	// that was not judged: the same object exceeds the limit every time.
	ErrTooLarge = errors.New("over the limits of this auditor")
	// ErrWindow: the batch makes use of a larger zstd window than MaxWindow. A Fetcher that allows
	// more may read the same object; see Fetcher.WithWindow. It says nothing about the log and is
	// no grounds for a rejection.
	ErrWindow = errors.New("zstd window too large")
	// ErrCorrupt: the stored bytes are not valid in their compression format. It is grounds for a
	// rejection once a second Open has ended in it too, because all the bytes that the store listed
	// did arrive.
	ErrCorrupt = errors.New("corrupt compression")
)

// NotPublishedError is an ErrNotPublished that tells whose answer it is. Only a fresh one shows
// that the log has not published the epoch, and its listings may lag behind its objects even so.
type NotPublishedError struct {
	Epoch     uint64
	Freshness s3list.Freshness
}

// Error says so if a cache had kept the answer.
func (e *NotPublishedError) Error() string {
	s := fmt.Sprintf("epoch %d: %v", e.Epoch, ErrNotPublished)
	if !e.Freshness.Fresh() {
		s += ", says an answer " + e.Freshness.String()
	}
	return s
}

func (e *NotPublishedError) Unwrap() error { return ErrNotPublished }

// EquivocationError is grounds for a rejection: the log published more than one batch for one
// epoch.
type EquivocationError struct {
	Epoch uint64
	// Keys are the keys of the objects that claim digests for the epoch, in order and at most 100
	// of them. Two at least claim different ones. They are safe to show, and need not be
	// well-formed: see Locate.
	Keys []string
	// More is how many further keys were seen before listing stopped.
	More int
	// Strays are objects beside them that claim nothing.
	Strays Strays
}

// Error is one short line with the first keys in it. They are safe to show.
func (e *EquivocationError) Error() string {
	named := slices.Clone(e.Keys[:min(len(e.Keys), 4)])
	for i, key := range named {
		named[i] = text.Clean(key, maxShown)
	}
	s := fmt.Sprintf("epoch %d has more than one batch: %s", e.Epoch, strings.Join(named, ", "))
	if more := len(e.Keys) - len(named) + e.More; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// NameError is grounds for a rejection: there is no batch under the epoch, but an object whose name
// is not a batch's. Wait until some time after ModTime and list again before you reject: until then
// it may be a batch that is being uploaded under another name.
type NameError struct {
	Epoch uint64
	// Key is the first such object's key, safe to show and cut to 1,024 bytes. The log chose it.
	Key string
	// Strays are further ones.
	Strays Strays
	// ModTime is when the last of such objects was written, if the store says so.
	ModTime time.Time
	// Err says what is wrong with the key.
	Err error
}

// Error quotes the key.
func (e *NameError) Error() string {
	return fmt.Sprintf("epoch %d: object %q is not a batch: %v", e.Epoch, e.Key, e.Err)
}

// with is the error with further objects. The first of these is its own.
func (e *NameError) with(strays Strays) *NameError {
	e.Strays = Strays{Names: strays.Names[1:], More: strays.More}
	return e
}

// Unwrap returns what is wrong with the name.
func (e *NameError) Unwrap() error { return e.Err }

// Reason returns the reason of the rejection that err is grounds for; nothing for nil and for an
// error that is none. What each error asks for before that is in its description.
func Reason(err error) verdict.Reason {
	_, equivocation := errors.AsType[*EquivocationError](err)
	_, name := errors.AsType[*NameError](err)
	switch {
	case errors.Is(err, ErrTooLarge):
		return verdict.BatchTooLarge
	case errors.Is(err, ErrCorrupt), name:
		return verdict.MalformedProof
	case equivocation:
		return verdict.Equivocation
	}
	return ""
}

// Transient reports whether to try again after err, which is what all errors of this package ask
// for that are no grounds for a rejection. It is false for nil.
func Transient(err error) bool { return err != nil && Reason(err) == "" }

// cleanedError is an error from elsewhere whose text is safe to keep and to show.
type cleanedError struct{ err error }

// cleaned bounds the text of an error that a log or a store had a hand in.
func cleaned(err error) error { return cleanedError{err} }

func (e cleanedError) Error() string { return text.Clean(e.err.Error(), maxCause) }
func (e cleanedError) Unwrap() error { return e.err }

// shortETag is an ETag in bounded length. What it leaves out is still told apart.
func shortETag(tag s3list.ETag) s3list.ETag {
	s := text.Clean(string(tag), maxShown/2)
	if s == string(tag) {
		return tag
	}
	return s3list.ETag(fmt.Sprintf("%s sha256:%x", s, sha256.Sum256([]byte(tag))))
}
