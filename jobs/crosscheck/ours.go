package crosscheck

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Ours is this auditor in the audit store and in metrics.
const Ours = "ours"

// maxOurs is how many digests that were signed here are compared in a round.
const maxOurs = 2000

// OursConfig says for which log the digests that were signed here are compared. All fields must be
// set unless they say otherwise.
type OursConfig struct {
	Namespace string
	Store     *auditstore.Store
	Incidents incident.Recorder
	Every     time.Duration
	Metrics   observe.Metrics // nil measures nothing
	Log       zerolog.Logger
}

// OursLoop compares what the log posted to be signed here with what it published.
type OursLoop struct {
	OursConfig
	done    map[uint64]bool // epochs of shards that are not done as a whole
	highest uint64
	beyond  int // how many facts it may raise where too many are open
}

// NewOurs returns a loop.
func NewOurs(c OursConfig) *OursLoop {
	return &OursLoop{OursConfig: c, done: map[uint64]bool{}, beyond: maxBeyond}
}

// Run does a round at once and then one in each period. Only an end of ctx ends it.
func (l *OursLoop) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.Round(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn().Err(err).Msg("not all digests that were signed here could be compared with what the log published; the next round tries again")
		}
		_ = wait.For(ctx, time.Duration(float64(l.Every)*(0.75+rand.Float64()/2)))
	}
}

// Round compares what is due now, the newest first. A log of which nothing is signed here costs one
// listing.
func (l *OursLoop) Round(ctx context.Context) error {
	shards, err := auditor.SignedShards(ctx, l.Store, l.Namespace)
	if err != nil || len(shards) == 0 {
		return err
	}
	whole, err := l.whole(ctx)
	if err != nil {
		return err
	}
	c := comparer{namespace: l.Namespace, store: l.Store, incidents: l.Incidents, beyond: &l.beyond}
	results := map[string]int{}
	left := maxOurs
	for _, n := range slices.Backward(shards) {
		if whole[n] || left <= 0 {
			continue
		}
		if err = l.shard(ctx, &c, n, &left, results); err != nil {
			break
		}
	}
	metrics := observe.MetricsOr(l.Metrics)
	for result, n := range results {
		metrics.CrossChecked(l.Namespace, Ours, result, n)
	}
	metrics.SetCrossChecked(l.Namespace, Ours, l.highest)
	return err
}

// whole are the shards of which all epochs were compared, by whichever scheduler.
func (l *OursLoop) whole(ctx context.Context) (map[uint64]bool, error) {
	whole := map[uint64]bool{}
	for name, err := range l.folder().Names(ctx, "", Ours) {
		if err != nil {
			return nil, err
		}
		if n, ok := verdict.ParseShardName(strings.TrimSuffix(name, ".json")); ok {
			whole[n] = true
		}
	}
	return whole, nil
}

// shard compares a shard. Once all of it was, that is put on record: after what was found is, so
// that a crash before it has the shard compared again.
func (l *OursLoop) shard(ctx context.Context, c *comparer, n uint64, left *int, results map[string]int) error {
	signed, err := auditor.SignedEpochs(ctx, l.Store, l.Namespace, n)
	if err != nil {
		return err
	}
	judged, err := l.Store.Epochs(ctx, l.Namespace, n)
	if err != nil {
		return err
	}
	compared := 0
	for _, epoch := range slices.Backward(signed) {
		if _, ok := slices.BinarySearch(judged, epoch); !ok {
			continue
		}
		if !l.done[epoch] {
			if *left--; *left < 0 {
				return nil
			}
			result, err := l.compare(ctx, c, epoch)
			if auditstore.IsLost(err) || auditstore.IsUnreadable(err) {
				results[failed]++
				l.Log.Warn().Err(err).Uint64("epoch", epoch).Msg("a digest that was signed here, or its verdict, cannot be read, and was not compared")
				continue
			}
			if result != "" {
				results[result]++
			}
			if err != nil {
				return err
			}
			l.done[epoch] = true
		}
		compared++
		l.highest = max(l.highest, epoch)
	}
	if compared < verdict.EpochsPerShard {
		return nil
	}
	if _, err := l.folder().Put(ctx, []byte("{}\n"), Ours, verdict.ShardName(n)); err != nil {
		return err
	}
	for _, epoch := range signed {
		delete(l.done, epoch)
	}
	return nil
}

func (l *OursLoop) compare(ctx context.Context, c *comparer, epoch uint64) (string, error) {
	s, err := c.signedHere(ctx, epoch)
	if err != nil {
		return "", err
	}
	return c.compare(ctx, s)
}

func (l *OursLoop) folder() auditstore.Folder { return folderOf(l.Store, l.Namespace) }
