package report

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Visitor is called with what is judged in a range of epochs, from the first to the last.
type Visitor struct {
	Sealed func(verdict.Span) error    // of epochs that all have a verdict, and cost no request
	Open   func(epochs []uint64) error // of epochs with a verdict, of one shard that is not sealed
}

// Walk visits the epochs from from to to that have a verdict. What is sealed of them is
// taken from the history, as it was read before; beside that, only the shards that are open are
// listed.
func Walk(ctx context.Context, store *auditstore.Store, h verdict.History, from, to uint64, visit Visitor) error {
	next := from
	for _, span := range h.Spans {
		if span.To < next || span.From > to {
			continue
		}
		if span.From > next {
			if err := EachShard(ctx, store, h.Namespace, next, span.From-1, visit.Open); err != nil {
				return err
			}
		}
		if err := visit.Sealed(Clip(span.Span, next, to)); err != nil {
			return err
		}
		next = span.To + 1
	}
	if next > to {
		return nil
	}
	return EachShard(ctx, store, h.Namespace, next, to, visit.Open)
}

// EachSealedShard yields the sealed shards among those with the epochs from from to to, each with
// the span that it is in.
func EachSealedShard(h verdict.History, from, to uint64) iter.Seq2[uint64, *verdict.SealedSpan] {
	return func(yield func(uint64, *verdict.SealedSpan) bool) {
		for i := range h.Spans {
			span := &h.Spans[i]
			for shard := max(span.First(), from/verdict.EpochsPerShard); shard <= min(span.Last(), to/verdict.EpochsPerShard); shard++ {
				if !yield(shard, span) {
					return
				}
			}
		}
	}
}

// Clip is the part of a span from from to to. The digests at an end that was cut off are not known:
// they are empty.
func Clip(s verdict.Span, from, to uint64) verdict.Span {
	if from > s.From {
		s.From, s.PreviousDigest = from, ""
	}
	if to < s.To {
		s.To, s.Digest = to, ""
	}
	first, _ := s.FindRejection(s.From)
	last, found := s.FindRejection(s.To)
	if found {
		last++
	}
	s.Rejected = s.Rejected[first:last]
	s.Breaks = epochset.Within(s.Breaks, s.From+1, s.To)
	return s
}

// ReadHistory reads what is sealed. What it cannot read it explains.
func ReadHistory(ctx context.Context, store *auditstore.Store, namespace string) (verdict.History, error) {
	h, err := store.History(ctx, namespace)
	if errors.Is(err, auditstore.ErrCorrupt) {
		return h, fmt.Errorf("history of seals of %s: %w (run `ktaudit seal` to rebuild it)", namespace, err)
	}
	if err != nil {
		return h, fmt.Errorf("history of seals of %s: %w", namespace, err)
	}
	return h, nil
}
