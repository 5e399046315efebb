package verdict

import (
	"cmp"
	"fmt"
	"slices"
)

// Span sums up the verdicts of a run of epochs each of which has one. Every epoch that is not among
// Rejected is verified.
type Span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// before From; empty if From was rejected
	PreviousDigest string `json:"previous_digest,omitempty"`
	// after To; empty if To was rejected
	Digest   string      `json:"digest,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"` // ascending
	// Breaks are the verified epochs that do not begin where the verified one before them, of this
	// span too, ended. Ascending.
	Breaks []uint64 `json:"breaks,omitempty"`
}

// Rejection is an epoch that was rejected. Its verdict says more.
type Rejection struct {
	Epoch  uint64 `json:"epoch"`
	Reason Reason `json:"reason"`
}

// Epochs is how many epochs the span has.
func (s Span) Epochs() uint64 { return s.To - s.From + 1 }

// FindRejection returns where in Rejected an epoch is, or would be.
func (s Span) FindRejection(epoch uint64) (i int, found bool) {
	return slices.BinarySearchFunc(s.Rejected, epoch, func(r Rejection, epoch uint64) int { return cmp.Compare(r.Epoch, epoch) })
}

// IsRejected reports whether an epoch of the span was rejected.
func (s Span) IsRejected(epoch uint64) bool {
	_, found := s.FindRejection(epoch)
	return found
}

// Starts returns the verified epochs that continue no verified one of the span before them,
// ascending.
func (s Span) Starts() []uint64 {
	starts := slices.Clone(s.Breaks)
	if !s.IsRejected(s.From) {
		starts = append(starts, s.From)
	}
	for _, r := range s.Rejected {
		if r.Epoch < s.To && !s.IsRejected(r.Epoch+1) {
			starts = append(starts, r.Epoch+1)
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

// Join is the span of s and of next, which begins with the epoch after s.
func (s Span) Join(next Span) Span {
	joined := Span{
		From: s.From, To: next.To, PreviousDigest: s.PreviousDigest, Digest: next.Digest,
		Rejected: slices.Concat(s.Rejected, next.Rejected), Breaks: slices.Clone(s.Breaks),
	}
	if LinkDigests(s.Digest, next.PreviousDigest) == Broken {
		joined.Breaks = append(joined.Breaks, next.From)
	}
	joined.Breaks = append(joined.Breaks, next.Breaks...)
	return joined
}

// Validate returns what is wrong with a span that was read, or nil.
func (s Span) Validate() error {
	last := uint64(0)
	for _, r := range s.Rejected {
		if r.Epoch < s.From || r.Epoch > s.To || r.Epoch <= last || !reason.MatchString(string(r.Reason)) {
			return fmt.Errorf("epochs %d to %d: rejected epoch %d with the reason %.80q is out of place", s.From, s.To, r.Epoch, r.Reason)
		}
		last = r.Epoch
	}
	last = s.From
	for _, epoch := range s.Breaks {
		if epoch <= last || epoch > s.To || s.IsRejected(epoch) {
			return fmt.Errorf("epochs %d to %d: break at epoch %d is out of place", s.From, s.To, epoch)
		}
		last = epoch
	}
	for _, end := range []struct {
		epoch  uint64
		digest string
	}{{s.From, s.PreviousDigest}, {s.To, s.Digest}} {
		if s.IsRejected(end.epoch) != (end.digest == "") || end.digest != "" && !isHex(end.digest, 64) {
			return fmt.Errorf("epochs %d to %d: digest %.80q at epoch %d", s.From, s.To, end.digest, end.epoch)
		}
	}
	return nil
}
