package validator

import (
	"bytes"
	"cmp"
	"context"
)

// entry is a record's place in label order.
type entry struct {
	key uint64 // the label's first 64 bits
	at  uint64 // which chunk, in the upper half, and the offset in it
}

const (
	entryBytes = 16
	// pollEvery is how many entries are sorted between two checks of the context.
	pollEvery = 1 << 16
	// shortest is the minimum length of a stretch: shorter ones are extended by insertion, so that
	// there are never many.
	shortest = 16
	// keepEntries is for how many entries memory is kept between buckets. Buckets of honest proofs
	// are far smaller.
	keepEntries = 1 << 16
)

// sorter puts the records of a bucket in label order. It is reused, and so is its memory.
type sorter struct {
	ctx       context.Context
	bucket    snapshot
	entries   []entry
	spare     []entry
	stretches []int // where each ascending stretch of entries ends
}

func (s *sorter) record(e entry) *record {
	return recordAt(s.bucket.chunks[e.at>>32], int(uint32(e.at)))
}

// sort returns the bucket's records in order of label, then length. Logs write their lists in
// order, or in a few ordered stretches, so stretches are found and merged: n records in r stretches
// cost n × log2(r) comparisons, n × log2(n) at most, whatever the order. The only error is ctx's.
func (s *sorter) sort(b snapshot) ([]entry, error) {
	s.bucket, s.entries, s.stretches = b, sized(s.entries, b.count), s.stretches[:0]
	begin := 0
	for c, chunk := range b.chunks {
		if c%(pollEvery/64) == 0 && s.ctx.Err() != nil {
			return nil, s.ctx.Err()
		}
		for at := 0; at < len(chunk); {
			rec := recordAt(chunk, at)
			e := entry{key: rec.key(), at: uint64(c)<<32 | uint64(at)}
			n := len(s.entries)
			s.entries = append(s.entries, e)
			if n > 0 && s.after(s.entries[n-1], e) {
				if n-begin >= shortest {
					s.stretches, begin = append(s.stretches, n), n
				}
				s.insert(begin)
			}
			at += rec.size()
		}
	}
	s.stretches = append(s.stretches, len(s.entries))
	for len(s.stretches) > 1 {
		s.spare = sized(s.spare, b.count)
		if err := s.mergePairs(); err != nil {
			return nil, err
		}
	}
	return s.entries, nil
}

// insert moves the last entry to its place among those from begin on.
func (s *sorter) insert(begin int) {
	i := len(s.entries) - 1
	e := s.entries[i]
	for ; i > begin && s.after(s.entries[i-1], e); i-- {
		s.entries[i] = s.entries[i-1]
	}
	s.entries[i] = e
}

// sized returns entries emptied, with room for exactly n if they had less: a proof that puts
// everything into one bucket must not make memory grow by doubling.
func sized(entries []entry, n int) []entry {
	if cap(entries) < n {
		return make([]entry, 0, n)
	}
	return entries[:0]
}

// release drops the memory that a very large bucket needed.
func (s *sorter) release() {
	s.bucket = snapshot{}
	if cap(s.entries) > keepEntries {
		s.entries, s.spare = nil, nil
	}
}

// mergePairs merges each stretch with its neighbour, which halves their number.
func (s *sorter) mergePairs() error {
	out, ends, begin := s.spare[:0], s.stretches[:0], 0
	for i := 0; i < len(s.stretches); i += 2 {
		middle, end := s.stretches[i], s.stretches[i]
		if i+1 < len(s.stretches) {
			end = s.stretches[i+1]
		}
		var err error
		if out, err = s.merge(out, s.entries[begin:middle], s.entries[middle:end]); err != nil {
			return err
		}
		ends, begin = append(ends, end), end
	}
	s.entries, s.spare, s.stretches = out, s.entries, ends
	return nil
}

func (s *sorter) merge(out, a, b []entry) ([]entry, error) {
	for len(a) > 0 && len(b) > 0 {
		if len(out)%pollEvery == 0 && s.ctx.Err() != nil {
			return nil, s.ctx.Err()
		}
		if s.after(a[0], b[0]) {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...), nil
}

// after reports whether a comes after b. Nearly always the keys tell.
func (s *sorter) after(a, b entry) bool {
	return a.key > b.key || a.key == b.key && s.compareRest(a, b) > 0
}

// compareRest compares entries that have the same key.
func (s *sorter) compareRest(a, b entry) int {
	ra, rb := s.record(a), s.record(b)
	// Labels may be kept with or without trailing zero bytes. Either way the rest of the longer one
	// decides, unless it is all zero.
	la, lb := ra.label(), rb.label()
	n := min(len(la), len(lb))
	if c := bytes.Compare(la[:n], lb[:n]); c != 0 {
		return c
	}
	switch {
	case anySet(la[n:]):
		return 1
	case anySet(lb[n:]):
		return -1
	}
	return cmp.Compare(ra.bits(), rb.bits())
}

func anySet(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return true
		}
	}
	return false
}
