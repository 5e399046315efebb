package seal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// sealsByChance is how many seals a check by chance compares.
const sealsByChance = 100

// maxNamed bounds how many epochs the detail of a mismatch names.
const maxNamed = 20

// Check says what came of holding sealed shards against their verdicts.
type Check struct {
	Checked    uint64     `json:"checked"` // shards
	Mismatches []Mismatch `json:"mismatches,omitempty"`
}

// Mismatch is a shard that is not what was sealed.
type Mismatch struct {
	Shard  uint64 `json:"shard"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Detail string `json:"detail"`
}

// Check holds the sealed shards among those with the epochs from from to to against the verdicts,
// all of which it reads, and raises an alert on each that is not what was sealed. An error means
// that it has not got to the end.
func (s *Sealer) Check(ctx context.Context, from, to uint64) (Check, error) {
	var c Check
	h, err := report.ReadHistory(ctx, s.Store, s.Namespace)
	if err != nil {
		return c, err
	}
	total := uint64(0)
	for range report.EachSealedShard(h, from, to) {
		total++
	}
	for shard, span := range report.EachSealedShard(h, from, to) {
		detail, err := s.checkShard(ctx, shard, span, true)
		if err != nil {
			return c, err
		}
		if c.Checked++; detail != "" {
			first, last := verdict.ShardRange(shard)
			c.Mismatches = append(c.Mismatches, Mismatch{shard, first, last, detail})
		}
		if s.Progress != nil {
			s.Progress(c.Checked, total)
		}
	}
	return c, nil
}

// CheckAny is Check of one sealed shard by chance. Of a few more it holds the seals against the
// history, so that a history which hides something is found long before each shard has had its
// turn. It costs a request for each verdict of a shard. Where nothing is sealed it does nothing.
func (s *Sealer) CheckAny(ctx context.Context) error {
	h, err := s.history(ctx)
	if err != nil || h.Shards() == 0 {
		return err
	}
	errs := make([]error, sealsByChance)
	for i := range errs {
		span, shard := anyShard(h)
		_, errs[i] = s.checkShard(ctx, shard, &span, i == 0)
	}
	return errors.Join(errs...)
}

// anyShard is a sealed shard by chance. There must be one.
func anyShard(h verdict.History) (verdict.SealedSpan, uint64) {
	n := rand.IntN(h.Shards())
	for _, span := range h.Spans {
		if n < len(span.Seals) {
			return span, span.First() + uint64(n)
		}
		n -= len(span.Seals)
	}
	panic("a history has fewer shards than it has")
}

// checkShard returns what is wrong with a shard, which is part of a span of the history or, if that
// is nil, not in it: nothing if all is well. The check is whole if it compares the verdicts, too.
// What is wrong is read twice before an alert is raised.
func (s *Sealer) checkShard(ctx context.Context, shard uint64, in *verdict.SealedSpan, whole bool) (string, error) {
	detail, err := s.compareSeal(ctx, shard, in, whole)
	if err != nil || detail == "" {
		return "", err
	}
	if detail, err = s.compareSeal(ctx, shard, in, whole); err != nil || detail == "" {
		return "", err
	}
	s.Log.Warn().Uint64("shard", shard).Str("detail", detail).Msg("a sealed shard differs from its seal; run `ktaudit seal --check` for details")
	return detail, s.incidents().Raise(ctx, alert.OfSealedMismatch(s.Namespace, shard, detail))
}

// compareSeal is checkShard without a second reading and without an alert.
func (s *Sealer) compareSeal(ctx context.Context, shard uint64, in *verdict.SealedSpan, whole bool) (string, error) {
	seal, hash, err := s.Store.Seal(ctx, s.Namespace, shard)
	switch {
	case auditstore.IsLost(err):
		return err.Error(), nil
	case err != nil:
		return "", err
	case in == nil:
	case hash != in.Seals[shard-in.First()]:
		return "the seal is not the one that the history names", nil
	case !sameExceptions(report.Clip(in.Span, seal.From, seal.To), seal.Span):
		return "the history says otherwise than the seal", nil
	}
	if !whole {
		return "", nil
	}
	return s.checkSeal(ctx, seal)
}

// sameExceptions reports whether two spans of the same epochs agree on which were rejected and
// which don't go on where the one before ended. Whether the first does, a seal cannot tell.
func sameExceptions(a, b verdict.Span) bool {
	return slices.Equal(a.Rejected, b.Rejected) && slices.Equal(a.Breaks, b.Breaks)
}

// checkSeal holds a seal against the verdicts, and returns what is wrong.
func (s *Sealer) checkSeal(ctx context.Context, seal verdict.Seal) (string, error) {
	wrong := make([]string, len(seal.Verdicts))
	verdicts := make([]verdict.Verdict, len(seal.Verdicts))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(report.ReadAhead)
	for i, want := range seal.Verdicts {
		group.Go(func() error {
			v, hash, err := s.Store.VerdictObject(groupCtx, s.Namespace, seal.From+uint64(i))
			switch {
			case errors.Is(err, auditstore.ErrNotFound):
				wrong[i] = "is gone"
			case errors.Is(err, auditstore.ErrCorrupt):
				wrong[i] = "cannot be read"
			case err != nil:
				return err
			case hex.EncodeToString(hash[:]) != want:
				wrong[i] = "is another one"
			}
			verdicts[i] = v
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	var named []string
	count := 0
	for i, what := range wrong {
		if what == "" {
			continue
		}
		if count++; count <= maxNamed {
			named = append(named, fmt.Sprintf("epoch %d's verdict %s", seal.From+uint64(i), what))
		}
	}
	if count == 0 {
		return checkSummary(seal, verdicts), nil
	}
	detail := strings.Join(named, ", ")
	if count > maxNamed {
		detail += fmt.Sprintf(", and %d more", count-maxNamed)
	}
	return detail, nil
}

// checkSummary holds what a seal says of its verdicts against them, which have the hashes that it
// names.
func checkSummary(seal verdict.Seal, verdicts []verdict.Verdict) string {
	again := verdict.NewSeal(seal.Namespace, seal.Shard)
	for _, v := range verdicts {
		again.Add(v, [32]byte{})
	}
	again.Verdicts = seal.Verdicts
	if !reflect.DeepEqual(again, seal) {
		return "the seal says otherwise than the verdicts that it names"
	}
	return ""
}
