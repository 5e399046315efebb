package validator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/ktaudit/ktaudit/internal/wire"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	defaultMaxElements = 32 << 20
	defaultMaxBytes    = 2 << 30
)

// Verify reads an audit proof from r to its end and judges whether it proves, under configuration
// c, what name claims. The proof is akd's protobuf message SingleAppendOnlyProof, uncompressed.
//
// A rejection is a Result, not an error. An error means that the proof could not be judged: r
// failed (its error is wrapped), ctx ended (its error is returned as it is), Options.Ordered was
// wrong (ErrUnordered), Options.MaxMemory too little (ErrMemory), or c is not a configuration. If a
// proof is rejected before its end, the rest of r is left unread.
//
// Memory: at most twice the proof's bytes, or Options.MaxMemory, and 3 MB for each worker; much
// less with Options.Ordered, and none that grows with the proof in VerifyInPasses. Time: linear in
// the proof's elements if they come in a few ordered stretches, as logs write them, and n × log2(n)
// comparisons in any other order. Whatever the labels, hashing costs at most 7 × unchanged + 6 ×
// inserted BLAKE3 blocks (twice that without an order), nothing recurses, and labels that fall into
// few buckets only cost parallelism.
func Verify(ctx context.Context, name Name, r io.Reader, c Configuration, o Options) (Result, error) {
	if err := c.validate(); err != nil {
		return Result{}, err
	}
	v := newVerification(ctx, name, c, o)
	return v.conclude(v.run(r))
}

// conclude makes a rejection a Result.
func (v *verification) conclude(result Result, err error) (Result, error) {
	result.PreviousDigest = v.startDigest
	var rejected *wire.Fault
	switch {
	case errors.As(err, &rejected):
		result.Outcome, result.Reason, result.Detail = Rejected, rejected.Reason, rejected.Detail
		return result, nil
	case err != nil:
		return Result{}, err
	}
	result.Outcome = Verified
	return result, nil
}

// verification is one call of Verify. The caller's goroutine decodes; for long proofs, workers hash
// the buckets that are expected to be complete.
type verification struct {
	ctx     context.Context
	cancel  context.CancelFunc
	name    Name
	layout  layout
	options Options

	records  *records
	leaves   int        // that a sweep takes at once
	pending  []snapshot // to be sent together
	elements int        // in them
	units    chan []snapshot
	workers  sync.WaitGroup

	mu    sync.Mutex
	fault error      // a worker's panic; it must not become a verdict
	done  []prepared // by bucket; the zero value for one without elements

	startDigest Digest // of the tree before; zero until it is known
}

func newVerification(ctx context.Context, name Name, c Configuration, o Options) *verification {
	if o.MaxElements <= 0 {
		o.MaxElements = defaultMaxElements
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verification{name: name, options: o, layout: c.kind.newLayout(c.domain, name.Epoch), records: newRecords(), leaves: sweepLeaves}
	v.ctx, v.cancel = context.WithCancel(ctx)
	return v
}

func (v *verification) run(r io.Reader) (Result, error) {
	defer v.endWorkers() // also if r panics
	defer v.cancel()
	result, err := v.decode(r)
	if err == nil {
		err = v.finish()
	}
	if err != nil {
		v.cancel() // nobody needs what is still being hashed
	}
	v.endWorkers()
	if v.fault == nil {
		giveBack(v.records.slabs)
	}
	if err == nil {
		err = v.ctx.Err() // some units may not have been hashed
	}
	if v.fault != nil {
		return result, v.fault
	}
	if err != nil {
		return result, err
	}
	return result, v.judge()
}

// decode reads all elements and sends the buckets that are expected to be complete to the workers.
func (v *verification) decode(r io.Reader) (result Result, err error) {
	d := wire.NewDecoder(v.ctx, r, v.options.MaxBytes)
	defer func() { result.Bytes = d.Offset() }()
	var e wire.Element
	filling := -1 // the bucket that unchanged nodes are going to
	for {
		switch err := v.next(d, &e, &result); {
		case err == io.EOF:
			return result, nil
		case err != nil:
			return result, err
		}
		bucket := v.records.add(&e)
		if v.options.Ordered && v.records.buckets[bucket].stale {
			return result, ErrUnordered
		}
		if v.options.MaxMemory > 0 && v.records.memory(v.options.Workers) > v.options.MaxMemory {
			return result, ErrMemory
		}
		if e.Inserted {
			continue
		}
		if len(v.records.buckets) == 1 {
			continue // it is not known yet whether the proof will be spread over buckets
		}
		if bucket != filling {
			if filling >= 0 {
				if err := v.sendOnce(filling); err != nil {
					return result, err
				}
			}
			filling = bucket
		}
	}
}

// next decodes and counts the next element, if it is one that a tree may have.
func (v *verification) next(d *wire.Decoder, e *wire.Element, result *Result) error {
	if err := d.Next(e); err != nil {
		return err
	}
	at := d.Elements - 1
	if at == v.options.MaxElements {
		return &wire.Fault{Reason: verdict.BatchTooLarge, Detail: fmt.Sprintf("more than %d elements", v.options.MaxElements)}
	}
	if err := e.Trim(); err != nil {
		return &wire.Fault{Reason: verdict.NoncanonicalLabel, Detail: fmt.Sprintf("element %d before byte %d: %s", at, d.Offset(), err)}
	}
	if e.Inserted {
		result.Inserted++
	} else {
		result.Unchanged++
	}
	return nil
}

// sendOnce sends a bucket to the workers, unless it was sent before. That the bucket is complete is
// a guess: it is right for logs that write their unchanged nodes in order after the inserted ones.
// A bucket for which it was wrong is hashed again at the end, so a proof in no order costs at most
// twice the work.
func (v *verification) sendOnce(bucket int) error {
	if b := &v.records.buckets[bucket]; b.sent {
		return nil
	}
	return v.send(bucket)
}

func (v *verification) send(bucket int) error {
	r := v.records.handOver(bucket)
	v.pending = append(v.pending, r)
	v.elements += r.count
	if v.elements < v.leaves {
		return nil
	}
	return v.sendPending()
}

func (v *verification) sendPending() error {
	if v.units == nil {
		v.start()
	}
	select {
	case v.units <- v.pending:
		v.pending, v.elements = nil, 0
		return nil
	case <-v.ctx.Done():
		return v.ctx.Err()
	}
}

// finish hashes what has not been hashed, or was sent too early.
func (v *verification) finish() error {
	if len(v.records.buckets) == 1 {
		v.leaves = shortLeaves
		if v.records.count >= shortAt {
			v.records.spread(shortBits)
		}
	}
	if len(v.records.buckets) == 1 {
		v.done = make([]prepared, 1)
		s := takeSweep(v.layout, v.leaves)
		v.hash(s, &sorter{ctx: v.ctx}, []snapshot{v.records.handOver(0)})
		s.giveBack(v.ctx)
		return v.ctx.Err()
	}
	for i := range v.records.buckets {
		if b := &v.records.buckets[i]; b.count > 0 && (!b.sent || b.stale) {
			if err := v.send(i); err != nil {
				return err
			}
		}
	}
	return v.sendPending()
}

// start starts the workers.
func (v *verification) start() {
	v.units = make(chan []snapshot, v.options.Workers)
	v.done = make([]prepared, len(v.records.buckets))
	for range v.options.Workers {
		v.workers.Add(1)
		go v.work()
	}
}

// endWorkers returns when the workers have ended, if there are any.
func (v *verification) endWorkers() {
	if v.units != nil {
		close(v.units)
		v.workers.Wait()
		v.units = nil
	}
}

func (v *verification) work() {
	defer v.workers.Done()
	defer func() {
		// A bug here must not end a process that is working on other epochs.
		if p := recover(); p != nil {
			v.mu.Lock()
			v.fault = fmt.Errorf("panic in a hashing worker: %v\n%s", p, debug.Stack())
			v.mu.Unlock()
			v.cancel()
		}
	}()
	sweep, sorter := takeSweep(v.layout, v.leaves), &sorter{ctx: v.ctx}
	for unit := range v.units {
		if v.ctx.Err() != nil {
			continue
		}
		v.hash(sweep, sorter, unit)
		if v.options.Ordered {
			for _, b := range unit {
				v.records.recycle(b)
			}
		}
	}
	sweep.giveBack(v.ctx)
}

// hash makes the subtrees of some buckets. It stops half-way when the context ends, which run
// reports.
func (v *verification) hash(s *sweep, sorter *sorter, unit []snapshot) {
	defer sorter.release()
	for _, b := range unit {
		entries, err := sorter.sort(b)
		if err != nil {
			return
		}
		for i, e := range entries {
			if i%sweepLeaves == sweepLeaves-1 && v.ctx.Err() != nil {
				return
			}
			s.addLeaf(sorter.record(e))
		}
		s.endSubtree(b.bucket, b.count)
	}
	v.collect(s)
}

// collect takes over the subtrees that a sweep has completed.
func (v *verification) collect(s *sweep) {
	s.flush()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range s.done {
		// Of two, the larger is the later: a bucket that was sent too early is sent again whole.
		if p.elements >= v.done[p.bucket].elements {
			v.done[p.bucket] = p
		}
	}
	s.done = s.done[:0]
}

// judge joins the buckets' subtrees and compares the digests with the name's.
func (v *verification) judge() error {
	var first *overlap
	for i := range v.done {
		first = firstOverlap(first, v.done[i].overlap)
	}
	if len(v.done) > 1 {
		s := takeSweep(v.layout, len(v.done))
		for i := range v.done {
			if v.done[i].elements > 0 {
				s.addPrepared(&v.done[i])
			}
		}
		s.endSubtree(0, v.records.count)
		s.flush()
		v.done = s.done
		s.giveBack(v.ctx)
		if len(v.done) > 0 {
			first = firstOverlap(first, v.done[0].overlap)
		}
	}
	if first != nil {
		return &wire.Fault{Reason: verdict.OverlappingLabels, Detail: first.String()}
	}
	start, end := v.digests()
	v.startDigest = start
	if start != v.name.PreviousDigest {
		nodes := "the unchanged nodes give"
		if v.records.count == 0 {
			nodes = "the proof has no nodes, which gives"
		}
		return &wire.Fault{Reason: verdict.PreviousDigestMismatch, Detail: fmt.Sprintf("%s %s, the name says %s", nodes, start, v.name.PreviousDigest)}
	}
	if end != v.name.Digest {
		return &wire.Fault{Reason: verdict.DigestMismatch, Detail: fmt.Sprintf("the nodes give %s, the name says %s", end, v.name.Digest)}
	}
	return nil
}

// digests returns the root digests of both trees.
func (v *verification) digests() (start, end Digest) {
	digest := func(edge []byte, isRoot bool, side int) Digest {
		if isRoot {
			return v.layout.root(edge)
		}
		return v.layout.rootAbove(edge, side)
	}
	if v.records.count == 0 {
		return digest(nil, false, 0), digest(nil, false, 0)
	}
	top := &v.done[0]
	return digest(top.startEdge, top.startIsRoot, top.startSide), digest(top.endEdge, top.endIsRoot, top.label.side())
}
