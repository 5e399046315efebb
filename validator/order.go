package validator

import (
	"bytes"
	"cmp"
)

// entry is a record's place in label order.
type entry struct {
	key uint64 // the label's first 64 bits
	at  uint64 // which chunk, in the upper half, and the offset in it
}

// sorter puts the records of a run in label order. It is used again and again, so that its memory is too.
type sorter struct {
	run     run
	entries []entry
	spare   []entry
	runs    []int // where each ascending stretch of entries ends
}

func (s *sorter) record(e entry) record { return record(s.run.chunks[e.at>>32][uint32(e.at):]) }

// sort returns the run's records in order of label, then length. Logs write their lists in order, or in a few ordered
// stretches, so stretches are found and merged: n records in r stretches cost n × log2(r) comparisons, n × log2(n) at
// the most, whatever the order.
func (s *sorter) sort(r run) []entry {
	s.run, s.entries, s.runs = r, s.entries[:0], s.runs[:0]
	for c, chunk := range r.chunks {
		for at := 0; at < len(chunk); {
			rec := record(chunk[at:])
			e := entry{key: rec.key(), at: uint64(c)<<32 | uint64(at)}
			if n := len(s.entries); n > 0 && s.compare(s.entries[n-1], e) > 0 {
				s.runs = append(s.runs, n)
			}
			s.entries = append(s.entries, e)
			at += rec.size()
		}
	}
	s.runs = append(s.runs, len(s.entries))
	for len(s.runs) > 1 {
		s.mergePairs()
	}
	return s.entries
}

// mergePairs merges each stretch with its neighbour, which halves their number.
func (s *sorter) mergePairs() {
	out, ends, begin := s.spare[:0], s.runs[:0], 0
	for i := 0; i < len(s.runs); i += 2 {
		middle, end := s.runs[i], s.runs[i]
		if i+1 < len(s.runs) {
			end = s.runs[i+1]
		}
		out = s.merge(out, s.entries[begin:middle], s.entries[middle:end])
		ends, begin = append(ends, end), end
	}
	s.entries, s.spare, s.runs = out, s.entries, ends
}

func (s *sorter) merge(out, a, b []entry) []entry {
	for len(a) > 0 && len(b) > 0 {
		if s.compare(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func (s *sorter) compare(a, b entry) int {
	if a.key != b.key {
		return cmp.Compare(a.key, b.key)
	}
	ra, rb := s.record(a), s.record(b)
	// Labels are kept without trailing zero bytes or with some; either way what is left of the longer one decides,
	// unless it is all zero.
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
