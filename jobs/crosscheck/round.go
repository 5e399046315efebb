package crosscheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// maxAhead is how far behind the newest verdict the newest signature may be before the newest
	// come first, and what is between becomes history.
	maxAhead = 100
	// maxFaults is how many answers in a row may be none before the round ends.
	maxFaults = 3
	// maxAbsent is how many epochs of a shard of history may be absent, with none there, before the
	// others are not asked for, and absentFor how long that is so.
	maxAbsent = 3
	absentFor = 24 * time.Hour
	maxShards = 16 // of history that are listed in a round
	maxBack   = 3  // answers in a row that name an earlier epoch before that is told of
)

var (
	errAbsent    = errors.New("the auditor has no signature for it")
	errNoVerdict = errors.New("it has no verdict")
	errNoneLeft  = errors.New("the round has asked as often as it may")
)

// round is one round.
type round struct {
	*Loop
	comparer
	now      time.Time
	requests int // that are left
	faults   int // in a row
	results  map[string]int
	shards   map[uint64]*shard
	judged   []uint64 // shards with verdicts, ascending

	answers   int    // that could be read
	trusted   int    // of these, signed with a pinned key
	unknown   uint64 // the lowest epoch that was signed with another
	keyError  error
	withdrawn bool // it has no signature any more for an epoch of which one is on record
	behind    bool // there is no signature that can be read after the highest, up to the newest verdict
}

// run does what is due. A step that fails leaves the others to be done, unless it is the auditor
// that fails.
func (r *round) run(ctx context.Context) error {
	newest, err := r.newestJudged(ctx)
	if err != nil || newest == 0 {
		r.answered, r.signed = r.now, r.now // nothing was asked
		return err
	}
	var errs []error
	for _, step := range []struct {
		do    func(context.Context, uint64) error
		alone bool // an auditor that cannot answer this may answer the rest
	}{{r.forward, false}, {r.lastVerified, true}, {r.resample, false}, {r.history, false}} {
		err := step.do(ctx, newest)
		if errors.Is(err, errNoneLeft) {
			break
		}
		errs = append(errs, err)
		_, isFault := errors.AsType[*fault](err)
		if isFault && !step.alone || errors.Is(err, errTooMany) || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(append(errs, r.conditions(ctx, newest))...)
}

// newestJudged is the newest epoch with a verdict; 0 if there is none.
func (r *round) newestJudged(ctx context.Context) (newest uint64, err error) {
	if r.judged, err = r.Store.Shards(ctx, r.Namespace, 0, verdict.MaxEpoch/verdict.EpochsPerShard); err != nil {
		return 0, fmt.Errorf("verdicts of %s: %w", r.Namespace, err)
	}
	for i := len(r.judged) - 1; i >= 0; i-- {
		s, err := r.shard(ctx, r.judged[i])
		if err != nil {
			return 0, err
		}
		if n := len(s.judged); n > 0 {
			return s.judged[n-1], nil
		}
	}
	return 0, nil
}

// check compares the auditor's signature on an epoch, unless it is on record.
//
// The record is written last. A crash before it leaves what was found on record, or nothing; the
// epoch is asked for again, and the same is found.
func (r *round) check(ctx context.Context, epoch uint64) error {
	s, err := r.shard(ctx, epoch/verdict.EpochsPerShard)
	switch {
	case err != nil:
		return err
	case s.recorded[epoch]:
		return nil
	case !s.isJudged(epoch):
		return errNoVerdict
	}
	found, err := r.ask(ctx, epoch)
	if err != nil {
		return err
	}
	result, err := r.compare(ctx, found)
	if result != "" {
		r.results[result]++
	}
	if auditstore.IsLost(err) || auditstore.IsUnreadable(err) {
		return errNoVerdict // which others tell of
	}
	if err == nil {
		err = r.record(ctx, found)
	}
	if err == nil {
		s.recorded[epoch] = true
	}
	return err
}

// forward asks for what has been signed since, up to the newest verdict. An auditor signs in order:
// what it has not signed yet ends that.
func (r *round) forward(ctx context.Context, newest uint64) error {
	if err := r.findHighest(ctx, newest); err != nil || r.highest == 0 {
		r.behind = r.unknown == 0
		return err
	}
	for epoch := r.highest + 1; epoch <= newest; epoch++ {
		err := r.check(ctx, epoch)
		switch {
		case err == nil:
			r.highest = epoch
		case errors.Is(err, signature.ErrUnknownKey):
			return nil
		case errors.Is(err, errAbsent):
			r.behind = true
			return nil
		case !isPassedOver(err):
			r.behind = true // so that who never answers for it is told of
			return err
		}
	}
	return nil
}

// isPassedOver reports whether an epoch that could not be compared leaves the others to be.
func isPassedOver(err error) bool {
	return errors.Is(err, errNoVerdict) || errors.Is(err, errUnreadable)
}

// findHighest finds an epoch that the auditor has signed, near the newest.
func (r *round) findHighest(ctx context.Context, newest uint64) error {
	for i := len(r.judged) - 1; r.highest == 0 && i >= max(0, len(r.judged)-2); i-- {
		s, err := r.shard(ctx, r.judged[i])
		if err != nil {
			return err
		}
		r.highest = s.highest()
	}
	if r.highest > 0 && newest-min(newest, r.highest) <= maxAhead {
		return nil
	}
	for step := uint64(0); step < newest && newest-step > r.highest; step = 2*step + 1 {
		err := r.check(ctx, newest-step)
		switch {
		case err == nil:
			r.highest = newest - step
			return nil
		case errors.Is(err, signature.ErrUnknownKey):
			return nil // so are those before, or they will be found
		case !errors.Is(err, errAbsent) && !isPassedOver(err):
			return err
		}
	}
	return nil
}

// history asks for what is not on record of earlier epochs, the latest of a shard first.
func (r *round) history(ctx context.Context, _ uint64) error {
	if r.cursor == 0 { // others begin elsewhere
		r.cursor = r.judged[rand.IntN(len(r.judged))] + 1
	}
	for range min(maxShards, len(r.judged)) {
		at := r.before(r.cursor)
		if !r.whole[at] && !r.now.Before(r.without[at]) {
			if err := r.checkShard(ctx, at); err != nil {
				return err
			}
		}
		r.cursor = at
	}
	return nil
}

// before is the next shard of history, from the newest again after the first.
func (r *round) before(cursor uint64) uint64 {
	for i := len(r.judged) - 1; i >= 0; i-- {
		if r.judged[i] < cursor {
			return r.judged[i]
		}
	}
	return r.judged[len(r.judged)-1]
}

func (r *round) checkShard(ctx context.Context, n uint64) error {
	s, err := r.shard(ctx, n)
	if err != nil {
		return err
	}
	pending := slices.DeleteFunc(slices.Clone(s.judged), func(epoch uint64) bool { return s.recorded[epoch] || epoch > r.highest })
	slices.Reverse(pending)
	there, missing, inRow := len(s.recorded) > 0, 0, 0
	for i, epoch := range pending {
		err := r.check(ctx, epoch)
		switch {
		case err == nil:
			there, inRow = true, 0
		case errors.Is(err, errAbsent), errors.Is(err, signature.ErrUnknownKey):
			missing, inRow = missing+1, inRow+1
			if missing >= maxAbsent && !there || missing >= 10*maxAbsent {
				r.without[n] = r.now.Add(absentFor)
				return nil
			}
			if inRow == maxAbsent { // it began there, or hides what is before: any of these shows it
				rest := pending[i+1:]
				rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
			}
		case !isPassedOver(err):
			return err
		}
	}
	if len(s.judged) == verdict.EpochsPerShard && len(s.recorded) >= len(s.judged) {
		r.whole[n] = true
	} else if missing > 0 {
		r.without[n] = r.now.Add(absentFor)
	}
	return nil
}

// resample asks again for two epochs that are on record, one of them new, by chance that no auditor
// can know: it must say the same, and what it said must still be what the verdict says.
func (r *round) resample(ctx context.Context, newest uint64) error {
	for _, n := range []uint64{newest / verdict.EpochsPerShard, r.judged[rand.IntN(len(r.judged))]} {
		s, err := r.shard(ctx, n)
		if err != nil {
			return err
		}
		epoch, ok := s.sample()
		if !ok {
			continue
		}
		found, err := r.ask(ctx, epoch)
		r.withdrawn = r.withdrawn || errors.Is(err, errAbsent)
		if errors.Is(err, errAbsent) || errors.Is(err, signature.ErrUnknownKey) || errors.Is(err, errUnreadable) {
			continue
		}
		if err == nil {
			err = r.compareAgain(ctx, found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compareAgain compares what an auditor said again of an epoch. New signatures over what it signed
// before are no further evidence: so none of them fills the audit store.
func (r *round) compareAgain(ctx context.Context, found statement) error {
	before, err := r.recorded(ctx, found.Epoch)
	switch {
	case err != nil: // under a key that is not pinned any more, say
	case before.Digest == found.Digest:
		found = before
	default:
		// It is recorded after the comparison.
		if known, err := r.incidents.IsRecorded(ctx, r.contradictionOf(before, found.evidence())); known || err != nil {
			return err
		}
	}
	result, err := r.compare(ctx, found)
	if result != "" {
		r.results[result]++
	}
	if auditstore.IsLost(err) || auditstore.IsUnreadable(err) {
		return nil // others tell of that
	}
	if err != nil {
		return err
	}
	return r.record(ctx, found)
}
