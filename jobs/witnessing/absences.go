package witnessing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxAbsences is how many epochs are passed over in one round: the log is asked for each.
const maxAbsences = 100

// byRule stands for a person where the configuration decides that an epoch was never published.
const byRule = "the setting verdict_log.not_published_after"

// passOver records, of the epochs without a verdict at which the log stands, those that were never
// published: a later epoch has had a verdict for long enough, the log has the newest epoch that was
// judged, and it does not have these. Whatever else it answers decides nothing. It reports whether
// the log can go on.
func (l *Loop) passOver(ctx context.Context, log *logState, now time.Time) (more bool, err error) {
	if l.NotPublishedAfter == 0 || l.IsPublished == nil {
		return false, nil
	}
	first, err := log.First(ctx)
	if err != nil {
		return false, err
	}
	at := first + uint64(log.newest.N)
	next, newest, err := JudgedFrom(ctx, l.Store, l.Namespace, at)
	if err != nil || next == 0 {
		return false, err
	}
	v, err := l.Store.Verdict(ctx, l.Namespace, next)
	if err != nil || now.Sub(v.FinishedAt) < l.NotPublishedAfter {
		return false, err
	}
	// A directory that shows nothing at all is a fault.
	if there, err := l.IsPublished(ctx, newest); err != nil || !there {
		return false, err
	}
	for epoch := at; epoch < min(next, at+maxAbsences); epoch++ {
		there, err := l.IsPublished(ctx, epoch)
		if err != nil || there {
			return more, err
		}
		_, err = log.PutAbsence(ctx, epoch, byRule, fmt.Sprintf("epoch %d has had a verdict since %s, and a fresh listing has no batch of this one", next, stamp(v.FinishedAt)), now)
		if err != nil && !errors.Is(err, transparency.ErrJudged) && !errors.Is(err, transparency.ErrCovered) {
			return more, err
		}
		l.Log.Info().Uint64("epoch", epoch).Msg("the epoch was never published; the verdict log says so, and goes on")
		more = true
	}
	return more, nil
}

// JudgedFrom returns the first and the last epoch with a verdict, of those from one on; 0 if there
// is none.
func JudgedFrom(ctx context.Context, store *auditstore.Store, namespace string, from uint64) (next, newest uint64, err error) {
	shards, err := store.Shards(ctx, namespace, from/verdict.EpochsPerShard, verdict.MaxEpoch)
	if err != nil {
		return 0, 0, err
	}
	for i, shard := range shards {
		if next != 0 && i < len(shards)-1 {
			continue
		}
		epochs, err := store.Epochs(ctx, namespace, shard)
		if err != nil {
			return 0, 0, err
		}
		for _, epoch := range epochs {
			if epoch >= from && next == 0 {
				next = epoch
			}
			newest = max(newest, epoch)
		}
	}
	if next == 0 {
		return 0, 0, nil
	}
	return next, newest, nil
}
