package report

import (
	"cmp"
	"context"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/sync/errgroup"
)

// Stretch is a range of verified epochs that continue one another.
type Stretch struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Link is how the stretch hangs together with the one before; empty for the first.
	Link StretchLink `json:"link,omitempty"`
	// BackTo is, for a rollback, the epoch whose digest it begins with.
	BackTo uint64 `json:"back_to,omitempty"`
	// PreviousDigest is the digest that it begins with; empty for the first, and if it is not
	// known.
	PreviousDigest string `json:"previous_digest,omitempty"`
	// Island: it continues nothing that is known. No earlier epoch is verified to have ended with
	// its first digest, nor does a rejected one right before it claim that.
	Island bool `json:"island,omitempty"`
	// Claimed is the digest that the rejected epoch right before an island claims.
	Claimed string `json:"claimed,omitempty"`
	// Acknowledged: somebody has dealt with the incident of the island.
	Acknowledged bool `json:"acknowledged,omitempty"`
}

// Contradicts reports whether it is an island behind rejected epochs only, and so an incident: what
// is behind a gap may hang together with an epoch that is not judged yet.
func (s Stretch) Contradicts() bool { return s.Island && s.Link == StretchRejected }

// StretchLink is how a stretch hangs together with the one before it.
type StretchLink string

const (
	// StretchLinked: it begins with the digest that the one before ended with, though there are
	// epochs between them that were rejected or have no verdict.
	StretchLinked StretchLink = "linked"
	// StretchGap: epochs between them have no verdict.
	StretchGap StretchLink = "gap"
	// StretchRejected: every epoch between them was rejected.
	StretchRejected StretchLink = "rejected between"
	// StretchRollback: it begins with the digest of an earlier epoch than the last of the one
	// before.
	StretchRollback StretchLink = "rollback"
	// StretchBroken: there is none between them, and the digests contradict each other.
	StretchBroken StretchLink = "broken"
	// StretchUnknown: the verdict on its first epoch is lost, or it is not among the first
	// stretches.
	StretchUnknown StretchLink = "unknown"
)

// Rollback is where a log went back: Epoch, which is verified, begins with the digest that an
// earlier one than the epoch before ended with. What came between is not in its tree.
type Rollback struct {
	Epoch          uint64 `json:"epoch"`
	To             uint64 `json:"to"` // the epoch that it begins after
	PreviousDigest string `json:"previous_digest"`
	Acknowledged   bool   `json:"acknowledged,omitempty"`
}

// maxLinks bounds of how many stretches a Status says how they hang together with the one before.
const maxLinks = 1000

// readStretches makes stretches of the verified ranges, and rollbacks of those that go back. It
// costs a request or two for each, and two million epochs in one stretch cost none.
func (s *statusReader) readStretches(ctx context.Context, store *auditstore.Store) error {
	if len(s.Verified) == 0 {
		return nil
	}
	s.Stretches = make([]Stretch, min(len(s.Verified), MaxListed))
	for i := range s.Stretches {
		s.Stretches[i] = Stretch{From: s.Verified[i].From, To: s.Verified[i].To}
		if i > 0 {
			s.Stretches[i].Link = StretchUnknown
		}
	}
	linked := s.Stretches[1:min(len(s.Stretches), 1+maxLinks)]
	// the digests that they begin with, and those that rejected epochs right before them claim
	begins, claims := make([]string, len(linked)), make([]verdict.Verdict, len(linked))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(ReadAhead)
	for i, stretch := range linked {
		group.Go(func() error {
			v, err := store.Verdict(groupCtx, s.Namespace, stretch.From)
			begins[i] = s.overruled.Newest(v).PreviousDigest
			if err == nil && s.isRejected(stretch.From-1) {
				v, err = store.Verdict(groupCtx, s.Namespace, stretch.From-1)
				claims[i] = s.overruled.Newest(v)
			}
			if auditstore.IsLost(err) {
				return nil // readDetails says so where it matters
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	wanted := map[uint64]string{}
	for i, begin := range begins {
		if begin != "" {
			wanted[linked[i].From] = begin
		}
	}
	ends, err := findEnds(ctx, store, s.Namespace, wanted)
	if err != nil {
		return err
	}
	for i := range linked {
		if begins[i] == "" {
			continue
		}
		stretch, before := &linked[i], s.Stretches[i]
		stretch.PreviousDigest = begins[i]
		end, known := ends[stretch.From]
		switch {
		case known && end.Epoch == before.To:
			stretch.Link = StretchLinked
		case known:
			stretch.Link, stretch.BackTo = StretchRollback, end.Epoch
			s.Rollbacks = append(s.Rollbacks, Rollback{Epoch: stretch.From, To: end.Epoch, PreviousDigest: end.Digest})
		default:
			stretch.Link = s.between(before.To, stretch.From)
			stretch.Island = stretch.Link != StretchRejected || isIsland(claims[i], begins[i])
			if stretch.Contradicts() {
				stretch.Claimed = claims[i].Digest
			}
		}
	}
	return nil
}

// between returns how two stretches hang together of which the second continues nothing known.
func (s *Status) between(end, start uint64) StretchLink {
	gap, _ := slices.BinarySearchFunc(s.Gaps, end, func(g epochset.Range, epoch uint64) int { return cmp.Compare(g.From, epoch) })
	switch {
	case end+1 == start:
		return StretchBroken
	case gap < len(s.Gaps) && s.Gaps[gap].From < start:
		return StretchGap
	}
	return StretchRejected
}

// isRejected reports whether an epoch is among those that are listed as rejected.
func (s *Status) isRejected(epoch uint64) bool {
	_, found := slices.BinarySearchFunc(s.Rejected, epoch, func(r RejectedEpoch, epoch uint64) int { return cmp.Compare(r.Epoch, epoch) })
	return found
}
