// Package pending keeps verdicts that one process is about to write from missing each other's.
package pending

import (
	"context"
	"sync"

	"github.com/ktaudit/ktaudit/verdict"
)

// Verdicts are the verified verdicts that an auditor is about to write. The zero value has none.
type Verdicts struct {
	mu        sync.Mutex
	byVerdict map[*pendingVerdict]bool
}

// pendingVerdict is one of them. It is over when the verdict is on record, or will not be.
type pendingVerdict struct {
	epoch            uint64
	previous, digest string
	over             chan struct{}
}

// breaks reports whether next is on the epoch after p's and does not start where p ends.
func (p *pendingVerdict) breaks(next *pendingVerdict) bool {
	return p.epoch+1 == next.epoch && verdict.LinkDigests(p.digest, next.previous) == verdict.Broken
}

// Enter enters a verdict, and waits until every one entered before it that it contradicts is over.
// Nobody waits for a later one, so nobody waits for ever. The caller must call leave, also after an
// error.
func (p *Verdicts) Enter(ctx context.Context, v verdict.Verdict) (leave func(), err error) {
	mine := &pendingVerdict{v.Epoch, v.PreviousDigest, v.Digest, make(chan struct{})}
	var before []*pendingVerdict
	p.mu.Lock()
	for other := range p.byVerdict {
		if other.breaks(mine) || mine.breaks(other) {
			before = append(before, other)
		}
	}
	if p.byVerdict == nil {
		p.byVerdict = map[*pendingVerdict]bool{}
	}
	p.byVerdict[mine] = true
	p.mu.Unlock()

	leave = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.byVerdict, mine)
		close(mine.over)
	}
	for _, other := range before {
		select {
		case <-other.over:
		case <-ctx.Done():
			return leave, ctx.Err()
		}
	}
	return leave, nil
}
