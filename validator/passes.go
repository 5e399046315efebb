package validator

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/ktaudit/ktaudit/internal/wire"
)

// ErrChanged means that two passes of VerifyInPasses did not read the same bytes.
var ErrChanged = errors.New("the proof read differently the second time")

const (
	slotBytes     = 72
	defaultMemory = 256 << 20
	passOverhead  = 3 << 20 // for the decoder, and for hashing in one goroutine
	minSlots      = 16
	minElementLen = 2 + 2 + 2 + 2 + 2 + DigestSize
)

// PassMemory is how many bytes VerifyInPasses needs to hold so many elements at once.
func PassMemory(elements int) int64 { return int64(elements)*slotBytes + passOverhead }

func passSlots(memory int64) int { return int(max((memory-passOverhead)/slotBytes, minSlots)) }

// slot is an element that is kept for this pass.
type slot struct {
	label    [labelSize]byte
	value    [DigestSize]byte
	index    uint32
	bits     uint16
	inserted bool
}

// compare orders slots by label, length and place in the proof, so no two are equal.
func (s *slot) compare(o *slot) int {
	a, b := binary.BigEndian.Uint64(s.label[:]), binary.BigEndian.Uint64(o.label[:])
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	if c := slices.Compare(s.label[8:], o.label[8:]); c != 0 {
		return c
	}
	if s.bits != o.bits {
		return int(s.bits) - int(o.bits)
	}
	return int(int64(s.index) - int64(o.index))
}

// VerifyInPasses judges a proof as Verify does, and gives the same Result, in memory that does not
// grow with the proof: it reads it several times, and keeps the next elements in label order each
// time, as many as fit into Options.MaxMemory. Whatever the labels and their order, each pass but
// the last gets through half as many as PassMemory has room for, or more. It hashes in one
// goroutine.
//
// open returns the proof from its beginning; each reader is closed before the next is opened, and
// an error of Close counts as one of reading. A source that does not give the same bytes in each
// pass is an error, ErrChanged.
func VerifyInPasses(ctx context.Context, name Name, open func(context.Context) (io.ReadCloser, error), c Configuration, o Options) (Result, error) {
	if err := c.validate(); err != nil {
		return Result{}, err
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = defaultMemory
	}
	v := newVerification(ctx, name, c, o)
	defer v.cancel()
	size := passSlots(v.options.MaxMemory)
	size = int(min(int64(size), int64(v.options.MaxElements)+1, v.options.MaxBytes/minElementLen+minSlots))
	p := &passes{verification: v, open: open, slots: make([]slot, 0, size)}
	result, err := p.run()
	return v.conclude(result, err)
}

type passes struct {
	*verification
	open  func(context.Context) (io.ReadCloser, error)
	slots []slot
	// Elements up to floor were hashed, those from ceiling on are for a later pass.
	floor, ceiling       slot
	hasFloor, hasCeiling bool
	sum                  [sha256.Size]byte // of the proof
	scratch              record
}

func (p *passes) run() (Result, error) {
	result, err := p.read(true)
	if err != nil {
		return result, err
	}
	p.records.layOut(result.Inserted + result.Unchanged)
	p.done = make([]prepared, len(p.records.buckets))
	s := newSweep(p.layout, sweepLeaves)
	bucket, count := 0, 0
	for {
		for i := range p.slots {
			slot := &p.slots[i]
			if b := p.records.bucketOf(leadingBits(slot.label[:])); b != bucket {
				s.endSubtree(bucket, count)
				bucket, count = b, 0
			}
			count++
			s.addLeaf(p.record(slot))
			if i%pollEvery == 0 && p.ctx.Err() != nil {
				return result, p.ctx.Err()
			}
		}
		if !p.hasCeiling {
			break
		}
		p.floor, p.hasFloor = p.slots[len(p.slots)-1], true
		if _, err := p.read(false); err != nil {
			return result, err
		}
	}
	s.endSubtree(bucket, count)
	p.collect(s)
	return result, p.judge()
}

// read makes a pass over the proof, after which slots holds the next elements in order. What is
// wrong with a proof shows in the first.
func (p *passes) read(first bool) (result Result, err error) {
	p.slots, p.hasCeiling = p.slots[:0], false
	r, err := p.open(p.ctx)
	if err != nil {
		return result, err
	}
	sum := sha256.New()
	result, err = p.decodeAll(io.TeeReader(r, sum))
	if closed := r.Close(); err == nil {
		err = closed
	}
	if _, faulty := errors.AsType[*wire.Fault](err); faulty && !first {
		return result, ErrChanged
	}
	if err != nil {
		return result, err
	}
	was := p.sum
	sum.Sum(p.sum[:0])
	if !first && was != p.sum {
		return result, ErrChanged
	}
	return result, p.sort()
}

func (p *passes) decodeAll(r io.Reader) (result Result, err error) {
	d := wire.NewDecoder(p.ctx, r, p.options.MaxBytes)
	defer func() { result.Bytes = d.Offset() }()
	var e wire.Element
	for {
		switch err := p.next(d, &e, &result); {
		case err == io.EOF:
			return result, nil
		case err != nil:
			return result, err
		}
		if err := p.keep(&e, d.Elements-1); err != nil {
			return result, err
		}
	}
}

// keep keeps an element if it is one of the next. When there is no room left, the later half goes:
// each pass but the last keeps half of the slots at least.
func (p *passes) keep(e *wire.Element, index int) error {
	s := slot{index: uint32(index), bits: uint16(e.Bits), inserted: e.Inserted}
	copy(s.label[:], e.Label)
	if p.hasFloor && s.compare(&p.floor) <= 0 || p.hasCeiling && s.compare(&p.ceiling) >= 0 {
		return nil
	}
	copy(s.value[:], e.Value)
	if len(p.slots) == cap(p.slots) {
		if err := p.sort(); err != nil {
			return err
		}
		half := len(p.slots) / 2
		p.ceiling, p.hasCeiling = p.slots[half], true
		p.slots = p.slots[:half]
		if s.compare(&p.ceiling) >= 0 {
			return nil
		}
	}
	p.slots = append(p.slots, s)
	return nil
}

// sort puts the slots in order. When the context ends, all compare as equal, which ends it soon.
func (p *passes) sort() error {
	calls, ended := 0, false
	slices.SortFunc(p.slots, func(a, b slot) int {
		if calls++; calls%pollEvery == 0 {
			ended = ended || p.ctx.Err() != nil
		}
		if ended {
			return 0
		}
		return a.compare(&b)
	})
	return p.ctx.Err()
}

// record returns a slot as addLeaf takes it, until the next call.
func (p *passes) record(s *slot) *record {
	e := wire.Element{Inserted: s.inserted, Bits: int(s.bits), Label: s.label[:], Value: s.value[:]}
	p.scratch.put(&e, int(s.index))
	return &p.scratch
}
