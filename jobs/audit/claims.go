package audit

import (
	"context"
	"sync"

	"github.com/ktaudit/ktaudit/verdict"
)

// claims are the epochs that an auditor is about to write verified verdicts on. They keep those of one process from missing each
// other's, as confirm says. The zero value has none.
type claims struct {
	mu   sync.Mutex
	open map[*claim]bool
}

// claim is one of them. It is settled when its verdict is on record, or will not be.
type claim struct {
	epoch            uint64
	previous, digest string
	settled          chan struct{}
}

// breaks says whether next is a claim on the epoch after c's that does not start where c ends.
func (c *claim) breaks(next *claim) bool {
	return c.epoch+1 == next.epoch && verdict.LinkDigests(c.digest, next.previous) == verdict.Broken
}

// stake enters a claim, and waits until every claim entered before it that it does not fit is settled. Nobody waits for a later
// claim, so nobody waits for ever. The caller must call withdraw, also after an error.
func (c *claims) stake(ctx context.Context, v verdict.Verdict) (withdraw func(), err error) {
	mine := &claim{v.Epoch, v.PreviousDigest, v.Digest, make(chan struct{})}
	var before []*claim
	c.mu.Lock()
	for other := range c.open {
		if other.breaks(mine) || mine.breaks(other) {
			before = append(before, other)
		}
	}
	if c.open == nil {
		c.open = map[*claim]bool{}
	}
	c.open[mine] = true
	c.mu.Unlock()

	withdraw = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, mine)
		close(mine.settled)
	}
	for _, other := range before {
		select {
		case <-other.settled:
		case <-ctx.Done():
			return withdraw, ctx.Err()
		}
	}
	return withdraw, nil
}
