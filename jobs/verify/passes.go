package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/validator"
)

// readInPasses is readWithin for a confined batch that takes more memory than that when it is
// read once. It reads the batch as often as it takes to judge it in what is set aside. The draft is
// of the first pass; the validator sees to it that all read the same.
func (v *Verifier) readInPasses(ctx context.Context, t observe.Attempt, object fetcher.Object, draft bool, r reserve) (f Found, err error) {
	waiting := time.Now()
	outer := ctx // a draft outlives the hold
	hold, ctx, err := v.Budget.memory.Acquire(ctx, v.Namespace, r.memory)
	if err != nil {
		return f, err
	}
	defer hold.Release()
	defer func() { err = reclaimed(ctx, object, err) }()
	t.Stage(observe.Memory, waiting)

	p := &passes{outer: outer, verifier: v, object: object, found: &f, archive: draft, fetcher: r.fetcher(v.Fetcher)}
	defer func() {
		if p.batch != nil { // which a panic has left open, and which writes to the draft
			p.batch.Close()
		}
		if f.Draft == nil { // not handed over: an error, or a panic
			p.draft.Drop()
		}
	}()
	began := time.Now()
	limits := v.Limits
	limits.MaxMemory, limits.Workers = r.passing(), hold.Cores(runtime.GOMAXPROCS(0))
	f.Result, err = validator.VerifyInPasses(ctx, object.Name, p.open, v.Configuration, limits)
	verified := time.Now()
	if errors.Is(err, fetcher.ErrTooLarge) && f.Info.StoredBytes == 0 {
		return tooLarge(object, err)
	}
	if f.Result, err = judged(f.Result, err); err != nil {
		return f, err
	}
	if p.fault != nil {
		return f, p.fault
	}
	t.Read(f.Info.StoredBytes, f.Info.Bytes)
	t.Overlapped(observe.Download, began, verified, p.waited)
	t.Overlapped(observe.Verify, began, verified, verified.Sub(began)-p.waited)
	f.Took, f.Draft = verified.Sub(began), p.draft
	return f, nil
}

// passes opens a batch for each pass over it.
type passes struct {
	outer    context.Context // of the draft
	verifier *Verifier
	object   fetcher.Object
	found    *Found
	archive  bool
	fetcher  *fetcher.Fetcher
	draft    *Draft
	batch    *fetcher.Batch // of the newest pass
	waited   time.Duration
	fault    error // of what the first pass did not read to its end by itself
}

func (p *passes) open(ctx context.Context) (_ io.ReadCloser, err error) {
	first := p.batch == nil
	var stored io.Writer // the interface must be nil, not hold a nil pointer
	if first && p.archive {
		if p.draft, err = p.verifier.newDraft(p.outer, p.object); err != nil {
			return nil, err
		}
		stored = p.draft
	}
	batch, err := p.fetcher.Open(ctx, p.object, stored)
	if err != nil {
		return nil, err
	}
	p.batch = batch
	return &pass{ctx: ctx, passes: p, batch: batch, first: first}, nil
}

// pass is one pass over a batch.
type pass struct {
	ctx    context.Context
	passes *passes
	batch  *fetcher.Batch
	first  bool
	came   int64 // since the last progress
}

// Read fails as a source that changes does if a later pass finds what the first did not.
func (p *pass) Read(b []byte) (int, error) {
	began := time.Now()
	n, err := p.batch.Read(b)
	p.passes.waited += time.Since(began)
	if p.came += int64(n); p.came >= share.ProgressStep {
		p.came = 0
		share.Progress(p.ctx)
	}
	if !p.first && fetcher.Reason(err) != "" {
		err = fmt.Errorf("%w: %v", validator.ErrChanged, err)
	}
	return n, err
}

// Close ends a pass. The first one goes on to the batch's end, also when it is rejected before.
func (p *pass) Close() error {
	defer p.batch.Close()
	if !p.first {
		return nil
	}
	f := p.passes.found
	if p.passes.fault = p.batch.Finish(); p.passes.fault != nil {
		return p.passes.fault
	}
	f.Info, p.passes.fault = p.batch.Info()
	f.Stale = p.batch.Stale()
	return p.passes.fault
}
