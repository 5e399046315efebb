package auditor

import (
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/verdict"
)

// ErrClock: the clock here is too far off to sign. Set it right and post again.
var ErrClock = errors.New("this auditor's clock is off")

// ErrNotVerified: the epoch was not verified, or not yet: post again later.
var ErrNotVerified = errors.New("the epoch is not verified")

// ErrNotSigned: the epoch has no signed digest, or not yet.
var ErrNotSigned = errors.New("the epoch is not signed")

// ConflictError: another digest is signed for the epoch. It is on record, and to retry is of no
// use.
type ConflictError struct {
	Epoch          uint64
	Posted, Signed string // 64 hexadecimal digits
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("digest %s was posted, and %s is signed", e.Posted, e.Signed)
}

// GapError: epochs are signed in order, and the next one is Expected.
type GapError struct{ Epoch, Expected uint64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("epochs are signed in order: post epoch %d next", e.Expected)
}

// ReusedError: the digest is signed for an earlier epoch.
type ReusedError struct{ Epoch, Earlier uint64 }

func (e *ReusedError) Error() string {
	return fmt.Sprintf("its digest is that of epoch %d, and is signed for one epoch only", e.Earlier)
}

// RootError: the post is for an earlier epoch than that at which signing begins, or for another
// digest than that of the configured root.
type RootError struct{ Root verdict.Anchor }

func (e *RootError) Error() string {
	return fmt.Sprintf("signing begins at epoch %d with digest %s", e.Root.Epoch, e.Root.Digest)
}
