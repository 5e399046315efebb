package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// ChainStatus is what the last walk of a log's names found in a range of epochs. It says of each
// range in Chained that the names of all its epochs continue each other, one batch each, and no
// more.
type ChainStatus struct {
	WalkedAt time.Time `json:"walked_at"` // when the last walk of the whole log began
	// as asked, or the first and the last epoch with a name; 0 when there is none
	From         uint64               `json:"from"`
	To           uint64               `json:"to"`
	ChainedCount uint64               `json:"chained_count"`
	Chained      []verdict.ChainRange `json:"chained"`
	Gaps         []verdict.ChainRange `json:"gaps,omitempty"`    // epochs without a name
	Doubles      []verdict.ChainRange `json:"doubles,omitempty"` // epochs with several batches
	// Breaks are the epochs whose names do not begin with the digest of the epoch before.
	Breaks []uint64 `json:"breaks,omitempty"`
	// Acknowledged: somebody has dealt with every double and every break.
	Acknowledged bool `json:"acknowledged,omitempty"`
	// Strays are keys that are no batch, Far names of epochs too far away to be followed.
	Strays verdict.ChainStrays `json:"strays,omitzero"`
	Far    verdict.ChainFar    `json:"far,omitzero"`
	// BreakDigests are, of each break, the digest before it and the one that it begins with.
	BreakDigests [][2]string `json:"-"`
}

// Good reports whether one chain covers the whole range, and nothing is named beyond it.
func (s ChainStatus) Good() bool {
	c := verdict.ChainCoverage{Chained: s.Chained, Gaps: s.Gaps, Doubles: s.Doubles, Breaks: s.Breaks}
	return c.Whole() && s.Far.Count == 0
}

// Seen are the epochs that have a name, which says no more than that the log published something.
func (s ChainStatus) Seen() []epochset.Range {
	seen, next := []epochset.Range{}, s.From
	for _, gap := range append(slices.Clone(s.Gaps), verdict.ChainRange{From: s.To + 1, To: s.To + 1}) {
		if next > 0 && gap.From > next {
			seen = append(seen, epochset.Range{From: next, To: gap.From - 1})
		}
		next = max(next, gap.To+1)
	}
	return seen
}

// contradicts reports whether names contradict each other. Names that are missing do not.
func (s *ChainStatus) contradicts() bool { return s != nil && len(s.Doubles)+len(s.Breaks) > 0 }

// ChainStatusOf sums up a chain, from an epoch (0: the first with a name) to another (0: the last
// with a name).
func ChainStatusOf(c verdict.Chain, from, to uint64) ChainStatus {
	found := c.Coverage(from, to)
	s := ChainStatus{
		WalkedAt: c.WalkedAt, From: found.From, To: found.To, ChainedCount: found.Count(), Chained: found.Chained,
		Gaps: found.Gaps, Doubles: found.Doubles, Breaks: found.Breaks, Strays: c.Strays, Far: c.Far,
	}
	for _, epoch := range s.Breaks {
		before, begin := c.DigestsAt(epoch)
		s.BreakDigests = append(s.BreakDigests, [2]string{before, begin})
	}
	if s.Chained == nil {
		s.Chained = []verdict.ChainRange{}
	}
	return s
}

// ReadChain returns what is on record of the names of a range of epochs; nil if they were never
// walked.
func ReadChain(ctx context.Context, store *auditstore.Store, namespace string, from, to uint64) (*ChainStatus, error) {
	c, err := store.Chain(ctx, namespace)
	if errors.Is(err, auditstore.ErrCorrupt) {
		return nil, fmt.Errorf("what is on record of the names of %s: %w (run `ktaudit chain` to record them anew)", namespace, err)
	}
	if err != nil || c.Generation == 0 {
		return nil, err
	}
	s := ChainStatusOf(c, from, to)
	return &s, nil
}
