package validator

import (
	"errors"

	"github.com/ktaudit/ktaudit/verdict"
)

// Outcome is the verdict on a proof. The zero Outcome means that nothing was judged.
type Outcome string

const (
	Verified Outcome = "verified"
	Rejected Outcome = "rejected"
)

// Options bound what one verification may use. The zero value has usable defaults.
type Options struct {
	// MaxElements is how many elements, inserted and unchanged together, a proof may have. 0 or
	// less means 32 Mi.
	MaxElements int
	// MaxBytes is how many bytes a proof may have. 0 or less means 2 GiB.
	MaxBytes int64
	// Ordered says that the elements probably come in the order in which akd writes them: the
	// inserted ones, then the unchanged ones, each in at most a few ascending stretches. Elements
	// are then dropped once they are hashed, so that memory is about the bytes of the inserted
	// elements. If the order turns out to be another, Verify returns ErrUnordered.
	Ordered bool
	// MaxMemory is how many bytes the elements may take while they are held. Where they take more,
	// Verify returns ErrMemory, and VerifyInPasses makes another pass. 0 or less means that Verify
	// has no such limit, and 256 MiB for VerifyInPasses.
	MaxMemory int64
	// Workers is how many goroutines may hash at once. 0 or less means GOMAXPROCS.
	Workers int
}

// ErrUnordered means that the proof cannot be judged with Options.Ordered. Call Verify again
// without it, with a reader of the same proof from its beginning, or VerifyInPasses.
var ErrUnordered = errors.New("the proof's elements do not come in the expected order")

// ErrMemory means that the proof cannot be judged within Options.MaxMemory, at least not by Verify.
// VerifyInPasses can judge it, with a source that can be read from its beginning again.
var ErrMemory = errors.New("the proof's elements take more memory than allowed")

// Result is the judgement of one proof. Inserted and Unchanged count elements, Bytes the proof's
// bytes. For a rejected proof they count what was read before the rejection was certain.
type Result struct {
	Outcome Outcome
	// Reason and Detail explain a rejection; both are empty for a verified proof. Detail is one
	// line for people.
	Reason verdict.Reason
	Detail string
	// PreviousDigest is what the unchanged nodes hash to. It is zero if the proof was rejected
	// before that was known.
	PreviousDigest Digest

	Inserted  int
	Unchanged int
	Bytes     int64
}
