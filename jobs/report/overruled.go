package report

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// Overruled are the overruled epochs of a log: the newest overruling of each. A seal follows from
// the first verdicts alone and is never changed, so who reads what is sealed lays these over it.
type Overruled struct {
	epochs []uint64 // ascending
	newest map[uint64]verdict.Overruling
}

// OverruledEpoch is an epoch whose first verdict does not count any more.
type OverruledEpoch struct {
	Epoch   uint64         `json:"epoch"`
	Number  uint64         `json:"number"` // how often it was overruled
	Was     string         `json:"was"`    // the outcome before
	Reason  verdict.Reason `json:"was_reason,omitempty"`
	Outcome string         `json:"outcome"` // and now
	By      string         `json:"by"`
	Why     string         `json:"why"`
	At      time.Time      `json:"at"`
}

// ReadOverruled reads which epochs of a log are overruled, for one listing if none is.
func ReadOverruled(ctx context.Context, store *auditstore.Store, namespace string) (Overruled, error) {
	all, err := store.Overrulings(ctx, namespace)
	if err != nil {
		return Overruled{}, fmt.Errorf("overruled epochs of %s: %w", namespace, err)
	}
	o := Overruled{newest: map[uint64]verdict.Overruling{}}
	for _, one := range all {
		o.epochs = append(o.epochs, one.Epoch)
		o.newest[one.Epoch] = one
	}
	return o, nil
}

// Of returns the newest overruling of an epoch, nil if it was not overruled.
func (o Overruled) Of(epoch uint64) *OverruledEpoch {
	one, found := o.newest[epoch]
	if !found {
		return nil
	}
	return OverruledBy(one)
}

// OverruledBy sums up an epoch's newest overruling.
func OverruledBy(o verdict.Overruling) *OverruledEpoch {
	return &OverruledEpoch{o.Epoch, o.Number, o.Overruled.Outcome, o.Overruled.Reason, o.Verdict.Outcome, o.By, o.Reason, o.At}
}

// Newest returns the verdict that counts, given the first.
func (o Overruled) Newest(first verdict.Verdict) verdict.Verdict {
	if one, found := o.newest[first.Epoch]; found {
		return one.Verdict
	}
	return first
}

// within returns the overruled epochs from from to to.
func (o Overruled) within(from, to uint64) []uint64 {
	low, _ := slices.BinarySearch(o.epochs, from)
	high := low
	for high < len(o.epochs) && o.epochs[high] <= to {
		high++
	}
	return o.epochs[low:high]
}

// times is how often epochs were overruled.
func (o Overruled) times() (n uint64) {
	for _, one := range o.newest {
		n += one.Number
	}
	return n
}

// firstVerdicts reads a namespace's first verdicts.
func firstVerdicts(ctx context.Context, store *auditstore.Store, namespace string) func(epoch uint64) (verdict.Verdict, error) {
	return func(epoch uint64) (verdict.Verdict, error) { return store.Verdict(ctx, namespace, epoch) }
}

// split visits a span in its parts: those without an overruled epoch, and the overruled ones. The
// digests where it is cut are read from the first verdicts.
func (o Overruled) split(span verdict.Span, read func(epoch uint64) (verdict.Verdict, error),
	part func(verdict.Span) error, single func(verdict.Verdict) error) error {
	next := span.From
	visit := func(to uint64) error {
		if next > to {
			return nil
		}
		cut := Clip(span, next, to)
		for _, end := range []struct {
			epoch  uint64
			digest *string
			of     func(verdict.Verdict) string
		}{
			{cut.From, &cut.PreviousDigest, func(v verdict.Verdict) string { return v.PreviousDigest }},
			{cut.To, &cut.Digest, func(v verdict.Verdict) string { return v.Digest }},
		} {
			if *end.digest != "" || cut.IsRejected(end.epoch) {
				continue
			}
			v, err := read(end.epoch)
			if err != nil {
				return err
			}
			*end.digest = end.of(v)
		}
		return part(cut)
	}
	for _, epoch := range o.within(span.From, span.To) {
		if err := visit(epoch - 1); err != nil {
			return err
		}
		if err := single(o.newest[epoch].Verdict); err != nil {
			return err
		}
		next = epoch + 1
	}
	return visit(span.To)
}
