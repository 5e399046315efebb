package summary

import (
	"slices"
	"sort"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// Epoch is what the page lists of an epoch.
type Epoch struct {
	Epoch          uint64         `json:"epoch"`
	Outcome        string         `json:"outcome"`
	Reason         verdict.Reason `json:"reason,omitempty"`
	PreviousDigest string         `json:"previous_digest,omitempty"`
	Digest         string         `json:"digest,omitempty"`
	FinishedAt     time.Time      `json:"finished_at"`
	Inserted       int            `json:"inserted"`
	Bytes          int64          `json:"bytes"`
	Overruled      bool           `json:"overruled,omitempty"`
}

// EpochOf is what is listed of a verdict.
func EpochOf(v verdict.Verdict) Epoch {
	return Epoch{v.Epoch, v.Outcome, v.Reason, v.PreviousDigest, v.Digest, v.FinishedAt.UTC(), v.Inserted, v.Batch.Bytes, false}
}

// openShard is what was read of a shard that is not sealed: runs of epochs that all have a verdict,
// so that it takes little memory once it is whole.
type openShard struct {
	runs  []verdict.Span // ascending, with gaps between them
	point Point
}

func (s *openShard) has(epoch uint64) bool {
	i := sort.Search(len(s.runs), func(i int) bool { return s.runs[i].To >= epoch })
	return i < len(s.runs) && s.runs[i].From <= epoch
}

// add takes in a first verdict.
func (s *openShard) add(v verdict.Verdict) {
	if s.has(v.Epoch) {
		return
	}
	one := verdict.Span{From: v.Epoch, To: v.Epoch}
	if v.Outcome == verdict.Verified {
		one.PreviousDigest, one.Digest = v.PreviousDigest, v.Digest
	} else {
		one.Rejected = []verdict.Rejection{{Epoch: v.Epoch, Reason: v.Reason}}
	}
	i := sort.Search(len(s.runs), func(i int) bool { return s.runs[i].From > v.Epoch })
	s.runs = slices.Insert(s.runs, i, one)
	if i+1 < len(s.runs) && s.runs[i].To+1 == s.runs[i+1].From {
		s.runs[i] = s.runs[i].Join(s.runs[i+1])
		s.runs = slices.Delete(s.runs, i+1, i+2)
	}
	if i > 0 && s.runs[i-1].To+1 == s.runs[i].From {
		s.runs[i-1] = s.runs[i-1].Join(s.runs[i])
		s.runs = slices.Delete(s.runs, i, i+1)
	}
	s.point.add(v)
}

// whole reports whether every epoch of the shard was read.
func (s *openShard) whole(shard uint64) bool {
	from, to := verdict.ShardRange(shard)
	return len(s.runs) == 1 && s.runs[0].From == from && s.runs[0].To == to
}
