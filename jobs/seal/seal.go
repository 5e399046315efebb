package seal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// sealBatch is how many shards are sealed before the history is written. A crash costs so many at
// most to be read again.
const sealBatch = 16

// historyAttempts is how often a history is read again because others wrote theirs first.
const historyAttempts = 8

// Sealer seals the shards of a log's audit all of whose epochs have a verdict, and holds what is
// sealed against the verdicts. Any number of them may work on one audit store: all make the same
// seals, and of the histories the first counts.
//
// A shard is sealed once everything that its verdicts show is on record: the alerts on its
// rejections and on epochs that don't belong to one log are in the outbox before the history says
// that the shard is sealed. After a crash between them it is sealed again.
type Sealer struct {
	Store     *auditstore.Store
	Namespace string
	Log       zerolog.Logger
	Metrics   observe.Metrics // nil measures nothing
	// Collect collects further evidence on epochs that contradict each other; nil collects none.
	Collect func(ctx context.Context, c incident.Concern)
	// Progress, if not nil, is called after each shard that was looked at, of so many.
	Progress func(done, total uint64)

	// by shard: the beginnings of its digests, 0 for epochs that were rejected; read when they are
	// needed
	digests map[uint64][]uint64
	// by epoch: the digests that stretches of sealed epochs begin with; read when they are needed
	begins map[uint64]string
	// the rollbacks that CheckStretches has raised, so that each is logged once
	raised map[uint64]bool
}

// incidents records what is wrong with the seals.
func (s *Sealer) incidents() incident.Recorder {
	return incident.Recorder{Store: s.Store, Metrics: s.Metrics, Log: s.Log, Collect: s.Collect}
}

// Counts says what became of the shards that have verdicts.
type Counts struct {
	Sealed        uint64 `json:"sealed"`         // now
	AlreadySealed uint64 `json:"already_sealed"` // before
	// epochs of them have no verdict, or one that cannot be read
	Open uint64 `json:"open"`
}

// Seal seals the full shards among those that hold the epochs from from to to. What is wrong with
// one shard doesn't keep the others from being sealed. It costs a request for each shard that is
// not full, and one for each verdict of those that are.
func (s *Sealer) Seal(ctx context.Context, from, to uint64) (Counts, error) {
	var counts Counts
	h, err := s.history(ctx)
	if err != nil {
		return counts, err
	}
	open, err := s.unsealed(ctx, h, from/verdict.EpochsPerShard, to/verdict.EpochsPerShard)
	if err != nil {
		return counts, err
	}
	for range report.EachSealedShard(h, from, to) {
		counts.AlreadySealed++
	}
	var errs []error
	lost := len(h.Spans) == 0 // perhaps: there may be seals all the same
	done := uint64(0)
	for batch := range slices.Chunk(open, sealBatch) {
		var made []sealed
		for _, shard := range batch {
			seal, full, err := s.sealShard(ctx, shard, lost)
			if ctx.Err() != nil {
				return counts, ctx.Err()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("shard %d of %s: %w", shard, s.Namespace, err))
			}
			if full {
				made = append(made, seal)
			} else {
				counts.Open++
			}
			if done++; s.Progress != nil {
				s.Progress(done, uint64(len(open)))
			}
		}
		if len(made) == 0 {
			continue
		}
		if h, err = s.extend(ctx, h, made); err != nil {
			return counts, errors.Join(append(errs, err)...)
		}
		counts.Sealed += uint64(len(made))
	}
	return counts, errors.Join(errs...)
}

// history reads what is sealed. If that cannot be read it raises an alert and begins anew, with an
// empty one: all of it is in the seals.
func (s *Sealer) history(ctx context.Context) (verdict.History, error) {
	h, err := s.Store.History(ctx, s.Namespace)
	if errors.Is(err, auditstore.ErrCorrupt) { // or it was damaged on its way
		h, err = s.Store.History(ctx, s.Namespace)
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		s.Log.Error().Err(err).Msg("the history of seals cannot be read; it is rebuilt from the verdicts")
		err = s.incidents().Raise(ctx, alert.OfHistoryMismatch(s.Namespace, h.Generation, err.Error()))
		if err == nil {
			h, err = s.Store.PutHistory(ctx, h)
		}
		if errors.Is(err, auditstore.ErrDiffers) { // somebody else has begun
			h, err = s.Store.History(ctx, s.Namespace)
		}
	}
	if err != nil {
		err = fmt.Errorf("history of seals of %s: %w", s.Namespace, err)
	}
	return h, err
}

// unsealed returns the shards from first to last that have verdicts and are not in the history.
func (s *Sealer) unsealed(ctx context.Context, h verdict.History, first, last uint64) ([]uint64, error) {
	var open []uint64
	list := func(to uint64) error {
		if first > to {
			return nil
		}
		shards, err := s.Store.Shards(ctx, s.Namespace, first, to)
		open = append(open, shards...)
		return err
	}
	for _, span := range h.Spans {
		if span.Last() < first || span.First() > last {
			continue
		}
		if span.First() > first {
			if err := list(span.First() - 1); err != nil {
				return nil, err
			}
		}
		first = span.Last() + 1
	}
	err := list(last)
	return open, err
}

// sealed is a seal that is on record, with the hash of its object.
type sealed struct {
	verdict.Seal
	hash string
}

// sealShard seals a shard if it is full. If it is not, and the history may be lost, it makes sure
// that it never was.
func (s *Sealer) sealShard(ctx context.Context, shard uint64, lost bool) (sealed, bool, error) {
	epochs, err := s.Store.Epochs(ctx, s.Namespace, shard)
	if err != nil {
		return sealed{}, false, err
	}
	from, to := verdict.ShardRange(shard)
	if uint64(len(epochset.Within(epochs, from, to))) < to-from+1 {
		if lost {
			err = s.checkUnlisted(ctx, shard)
		}
		return sealed{}, false, err
	}
	seal, verdicts, err := s.summarise(ctx, shard)
	if err != nil {
		return sealed{}, false, err
	}
	if err := s.raiseAll(ctx, verdicts); err != nil {
		return sealed{}, false, err
	}
	hash, err := s.Store.PutSeal(ctx, seal)
	if errors.Is(err, auditstore.ErrDiffers) {
		// Sealed before, and not in the history. If the verdicts bear it out it was written in
		// another way, and stands.
		if err = s.checkUnlisted(ctx, shard); err == nil {
			seal, hash, err = s.Store.Seal(ctx, s.Namespace, shard)
		}
	}
	if err == nil {
		s.Log.Info().Uint64("shard", shard).Uint64("from", from).Uint64("to", to).Int("rejected", len(seal.Rejected)).Msg("shard sealed")
	}
	return sealed{seal, hash}, err == nil, err
}

// ErrMismatch says that a shard has a seal and its verdicts are others. To seal again is of
// no use: someone must bring the verdicts back.
var ErrMismatch = errors.New("not the verdicts that were sealed")

// checkUnlisted returns an ErrMismatch, and raises an alert, if a shard that is not in the
// history has a seal which its verdicts don't bear out.
func (s *Sealer) checkUnlisted(ctx context.Context, shard uint64) error {
	if _, _, err := s.Store.Seal(ctx, s.Namespace, shard); errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	detail, err := s.checkShard(ctx, shard, nil, true)
	if err == nil && detail != "" {
		err = fmt.Errorf("%w: %s", ErrMismatch, detail)
	}
	return err
}

// summarise makes the seal that follows from the verdicts of a full shard, all of which are in the
// index of digests from then on.
func (s *Sealer) summarise(ctx context.Context, shard uint64) (verdict.Seal, []verdict.Verdict, error) {
	from, to := verdict.ShardRange(shard)
	verdicts := make([]verdict.Verdict, to-from+1)
	hashes := make([][32]byte, len(verdicts))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(report.ReadAhead)
	for i := range verdicts {
		group.Go(func() (err error) {
			verdicts[i], hashes[i], err = s.Store.VerdictObject(groupCtx, s.Namespace, from+uint64(i))
			if err != nil {
				return err
			}
			return verdictcheck.Enter(groupCtx, s.Store, verdicts[i])
		})
	}
	if err := group.Wait(); err != nil {
		return verdict.Seal{}, nil, err
	}
	seal := verdict.NewSeal(s.Namespace, shard)
	for i, v := range verdicts {
		seal.Add(v, hashes[i])
	}
	return seal, verdicts, nil
}

// raiseAll raises an alert on each of a shard's verdicts, in order, that is a rejection, and on
// each that does not continue the one before or goes back to an earlier one.
func (s *Sealer) raiseAll(ctx context.Context, verdicts []verdict.Verdict) error {
	if err := s.raiseRollbacks(ctx, verdicts); err != nil {
		return err
	}
	ends := map[string]verdict.Verdict{}
	for i, v := range verdicts {
		if v.Outcome != verdict.Verified {
			if err := s.incidents().Raise(ctx, alert.OfVerdict(v)); err != nil {
				return err
			}
			continue
		}
		if i > 0 && verdict.Between(verdicts[i-1], v) == verdict.Broken {
			if err := s.incidents().RecordBrokenChain(ctx, verdict.BrokenChain, verdicts[i-1], v); err != nil {
				return err
			}
		}
		if first, again := ends[v.Digest]; again {
			if err := s.incidents().RecordBrokenChain(ctx, verdict.DigestReused, first, v); err != nil {
				return err
			}
		}
		ends[v.Digest] = v
	}
	return nil
}

// extend writes a history with more seals. If others were first, it adds to theirs what they lack.
func (s *Sealer) extend(ctx context.Context, h verdict.History, made []sealed) (verdict.History, error) {
	for attempt := time.Duration(0); ; attempt++ {
		next := h
		next.Spans = slices.Clone(h.Spans)
		for _, seal := range made {
			if err := s.insert(ctx, &next, seal); err != nil {
				return h, err
			}
		}
		if next.Shards() == h.Shards() {
			return h, nil // others have added all of them
		}
		written, err := s.Store.PutHistory(ctx, next)
		if !errors.Is(err, auditstore.ErrDiffers) || attempt == historyAttempts {
			return written, err
		}
		_ = wait.For(ctx, rand.N(10*time.Millisecond<<attempt))
		if h, err = s.history(ctx); err != nil {
			return h, err
		}
	}
}

// insert adds a seal to a history, and records what only shows beside the other seals.
func (s *Sealer) insert(ctx context.Context, h *verdict.History, seal sealed) error {
	i, _ := slices.BinarySearchFunc(h.Spans, seal.From, func(span verdict.SealedSpan, from uint64) int { return cmp.Compare(span.From, from) })
	if i > 0 && h.Spans[i-1].To >= seal.From || i < len(h.Spans) && h.Spans[i].From == seal.From {
		return nil // somebody else has added it
	}
	if err := errors.Join(s.findReuse(ctx, h, seal), s.raiseLaterRollbacks(ctx, h, seal.Seal)); err != nil {
		return err
	}
	spans := []verdict.SealedSpan{{Span: seal.Span, Seals: []string{seal.hash}}}
	low, high := i, i
	if i > 0 && h.Spans[i-1].To+1 == seal.From {
		low--
		spans = append([]verdict.SealedSpan{h.Spans[low]}, spans...)
	}
	if i < len(h.Spans) && seal.To+1 == h.Spans[i].From {
		spans = append(spans, h.Spans[i])
		high++
	}
	whole := spans[0]
	whole.Seals = slices.Clone(whole.Seals)
	for _, span := range spans[1:] {
		joined := whole.Join(span.Span)
		if len(joined.Breaks) > len(whole.Breaks)+len(span.Breaks) {
			if err := s.recordBreak(ctx, span.From); err != nil {
				return err
			}
		}
		whole.Span, whole.Seals = joined, append(whole.Seals, span.Seals...)
	}
	h.Spans = slices.Replace(h.Spans, low, high, whole)
	return nil
}

// recordBreak records an epoch that does not continue the one before it.
func (s *Sealer) recordBreak(ctx context.Context, epoch uint64) error {
	first, second, err := s.readPair(ctx, epoch-1, epoch)
	if err != nil || second.Epoch == 0 {
		return err
	}
	return s.incidents().RecordBrokenChain(ctx, verdict.BrokenChain, first, second)
}

// readPair reads the verdicts on two epochs, which are sealed. If one of them is gone it tells of
// that, and returns nothing.
func (s *Sealer) readPair(ctx context.Context, a, b uint64) (first, second verdict.Verdict, err error) {
	var pair [2]verdict.Verdict
	for i, epoch := range []uint64{a, b} {
		pair[i], err = s.Store.Verdict(ctx, s.Namespace, epoch)
		if auditstore.IsLost(err) {
			_, err = s.checkShard(ctx, epoch/verdict.EpochsPerShard, nil, true)
			return first, second, err
		}
		if err != nil {
			return first, second, err
		}
	}
	return pair[0], pair[1], nil
}
