package recheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/jobs/reaudited"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// pageSize is how many objects a store lists in one request.
	pageSize = 1000
	// maxFailed is how many epochs in a row cannot be looked at before it is left to the next round
	// to go on: likely the log cannot be reached, or the audit store.
	maxFailed = 8
	// maxEquivocations is how many epochs with another batch a round puts on record, so that a log
	// that has changed all of its history is no flood. The next rounds go on.
	maxEquivocations = 100
	// spareRequests is how many more requests a listing may take than it should.
	spareRequests = 8
)

// What looking at an epoch comes to, as metrics have it.
const (
	same         = "same"
	changed      = "changed" // the batch was written anew
	equivocation = "equivocation"
	gone         = "gone"
	unknown      = "unknown"
)

// look looks at epochs of one shard, ascending, that came due after a time. An error means that it
// has not looked at all of them. One that cannot be looked at stays open and hides none of the
// others, since the log may choose which it is.
func (r *round) look(ctx context.Context, epochs []uint64, since time.Time) error {
	verdicts, err := r.verdictsOf(ctx, epochs)
	if err != nil || len(verdicts) == 0 {
		return err
	}
	epochs = epochs[:0:0]
	for _, v := range verdicts {
		epochs = append(epochs, v.Epoch)
	}
	listing, err := r.list(ctx, epochs)
	if err != nil {
		return err
	}
	var failed []error // one after the other
	for _, v := range verdicts {
		err := r.lookAt(ctx, v, listing, since)
		if err == nil {
			failed = nil
			continue
		}
		if errors.Is(err, errNoneLeft) || ctx.Err() != nil {
			return err
		}
		if _, fullErr := r.keepOpen(v.Epoch, unknown, since); fullErr != nil {
			return errors.Join(err, fullErr)
		}
		r.config.Logger.Debug().Uint64("epoch", v.Epoch).Err(err).Msg("an epoch could not be looked at: it is tried again")
		if failed = append(failed, err); len(failed) == maxFailed {
			return errors.Join(failed...)
		}
	}
	return nil
}

// verdictsOf reads the verdicts of the epochs that rest on a batch. A verdict that is lost, or
// cannot be read, is others' to tell.
func (r *round) verdictsOf(ctx context.Context, epochs []uint64) ([]verdict.Verdict, error) {
	verdicts, err := report.ReadReadable(ctx, r.config.Store, r.config.Namespace, epochs)
	if err != nil {
		return nil, err
	}
	var judged []verdict.Verdict
	for _, epoch := range epochs {
		if v := verdicts[epoch]; v.Batch.SHA256 != "" {
			judged = append(judged, v)
		} else {
			delete(r.open, epoch)
		}
	}
	return judged, nil
}

// list lists epochs at once where that is less work than one by one. Nil means that it is not, or
// could not be done.
func (r *round) list(ctx context.Context, epochs []uint64) (*fetcher.Bulk, error) {
	prefix, isLess := r.prefixOf(epochs)
	if !isLess || r.config.Log == nil {
		return nil, nil
	}
	listing := fetcher.NewBulk(epochs)
	most := 2*r.pages(prefix) + spareRequests
	requests, err := chain.List(ctx, r.config.Log, prefix, min(most, r.left), listing.Add)
	r.left -= requests
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		r.config.Logger.Debug().Err(err).Str("prefix", prefix).Msg("epochs could not be listed at once: they are looked at one by one")
		return nil, nil
	}
	return listing, nil
}

// prefixOf returns the digits that epochs, ascending, begin with, and whether to list all that
// begin so takes fewer requests than the epochs one by one. Listings are in the order of texts, so
// that longer numbers stand among them.
func (r *round) prefixOf(epochs []uint64) (prefix string, isLess bool) {
	if len(epochs) == 0 {
		return "", false
	}
	first, last := strconv.FormatUint(epochs[0], 10), strconv.FormatUint(epochs[len(epochs)-1], 10)
	if len(first) == len(last) {
		n := 0
		for n < len(first) && first[n] == last[n] {
			n++
		}
		prefix = first[:n]
	}
	return prefix, 2*r.pages(prefix) <= len(epochs)
}

// pages is about how many requests it takes to list the epochs that begin with some digits.
func (r *round) pages(prefix string) int {
	newest := r.config.Newest()
	if prefix == "" {
		return int(newest/pageSize) + 1
	}
	first, err := strconv.ParseUint(prefix, 10, 64)
	if err != nil {
		return maxRequests
	}
	keys := uint64(0)
	for size := uint64(1); first <= newest && first > 0; first, size = first*10, size*10 {
		keys += min(size, newest-first+1)
	}
	return int(min(keys/pageSize, maxRequests)) + 1
}

// lookAt looks at one epoch: in a listing, or else, and where that shows anything but the batch of
// the verdict, by asking the log for it.
func (r *round) lookAt(ctx context.Context, v verdict.Verdict, listing *fetcher.Bulk, since time.Time) error {
	if listing != nil {
		if object, err := listing.Object(v.Epoch); err == nil && !isAnother(v, object, nil) {
			return r.compare(ctx, v, object, since)
		}
	}
	object, err := r.locate(ctx, v.Epoch)
	if isAnother(v, object, err) { // looked at afresh once more before that is said
		object, err = r.locate(ctx, v.Epoch)
	}
	missing, isMissing := errors.AsType[*fetcher.NotPublishedError](err)
	_, isMisnamed := errors.AsType[*fetcher.NameError](err)
	switch {
	case isAnother(v, object, err) && r.results[equivocation] >= maxEquivocations:
		_, err := r.keepOpen(v.Epoch, equivocation, since)
		return err
	case isAnother(v, object, err):
		if err := r.raiseEquivocation(ctx, v, object, err); err != nil {
			return err
		}
		r.conclude(v.Epoch, equivocation)
		return nil
	case isMisnamed || isMissing && missing.Freshness.Fresh():
		return r.miss(v.Epoch, since)
	case isMissing, errors.Is(err, fetcher.ErrCrowded): // which says nothing
		_, err := r.keepOpen(v.Epoch, unknown, since)
		return err
	case err != nil:
		return err
	}
	return r.compare(ctx, v, object, since)
}

// locate asks the log for one epoch.
func (r *round) locate(ctx context.Context, epoch uint64) (fetcher.Object, error) {
	if r.left <= 0 {
		return fetcher.Object{}, errNoneLeft
	}
	r.left--
	return r.config.Fetcher.Locate(ctx, epoch)
}

// compare holds the batch of a verdict against what is listed of it. One that was written anew may
// have the same bytes, as when a log moves, and accuses nobody: it is to be audited again, unless
// somebody has done so with the same listing.
func (r *round) compare(ctx context.Context, v verdict.Verdict, object fetcher.Object, since time.Time) error {
	listed := object.Listed()
	audited := v.Batch.IsListedAs(listed)
	if !audited {
		var err error
		if audited, err = reaudited.Is(ctx, r.config.Store, r.config.Namespace, v.Epoch, listed); err != nil {
			return err
		}
	}
	if audited {
		r.conclude(v.Epoch, same)
		return nil
	}
	if _, err := r.keepOpen(v.Epoch, changed, since); err != nil {
		return err
	}
	r.changed = append(r.changed, v.Epoch)
	return nil
}

// conclude notes what looking at an epoch came to.
func (r *round) conclude(epoch uint64, result string) {
	delete(r.open, epoch)
	r.results[result]++
}

// patientTries is how often an open epoch is looked at in every round, before the pauses grow.
const (
	patientTries = 8
	maxPause     = 8 // doublings
)

// keepOpen notes that nothing can be concluded of an epoch yet.
func (r *round) keepOpen(epoch uint64, result string, since time.Time) (*openEpoch, error) {
	o := r.open[epoch]
	if o == nil {
		if len(r.open) == maxOpen {
			return nil, fmt.Errorf("%d epochs of %s wait to be looked at once more: no further ones are looked at until there are fewer", maxOpen, r.config.Namespace)
		}
		r.results[result]++
		o = &openEpoch{since: since}
		r.open[epoch] = o
	}
	o.tries++
	o.result = result
	o.seen, o.next = r.now, r.now
	if o.tries > patientTries {
		o.next = r.now.Add(r.period() << min(o.tries-patientTries, maxPause))
	}
	return o, nil
}

// enqueue puts some of the epochs that were written anew on the queue. The others, and those that
// the queue loses, are open, and come here again.
func (r *round) enqueue(ctx context.Context) error {
	if len(r.changed) == 0 {
		return nil
	}
	// Any of them, since those that cannot be audited may be of the log's choosing.
	rand.Shuffle(len(r.changed), func(i, j int) { r.changed[i], r.changed[j] = r.changed[j], r.changed[i] })
	some := r.changed[:min(len(r.changed), maxReaudits)]
	slices.Sort(some)
	for _, epoch := range some {
		if o := r.open[epoch]; o != nil {
			o.asked++
		}
	}
	r.config.Logger.Info().Uint64("epoch", some[0]).Int("epochs", len(some)).Int("more", len(r.changed)-len(some)).
		Msg("batches are listed otherwise than when they were judged: they are audited again")
	return r.config.Reaudit(ctx, some)
}
