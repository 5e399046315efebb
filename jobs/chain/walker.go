package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

// What a Config has where nobody says otherwise.
const (
	// DefaultMaxRequests is enough for twenty million epochs.
	DefaultMaxRequests = 20_000
	// DefaultRechecks is how often a name that is missing is looked for again before it counts as
	// gone, DefaultRecheckPause how long to wait before each. Content networks keep what they
	// answered.
	DefaultRechecks     = 3
	DefaultRecheckPause = 20 * time.Second
	// DefaultParallel is how many parts of a listing are read at a time.
	DefaultParallel = 4
)

const (
	// maxExtension is how many shards are listed one by one; more are walked with all others.
	maxExtension = 100
	// attempts is how often a chain is read again because others wrote theirs first.
	attempts = 8
)

// Config says whose names are walked. It is complete: a field must be set unless it says what 0 or
// nil means.
type Config struct {
	Namespace string
	Log       *blob.Bucket // the log directory
	// After returns the page token that begins a listing after a key. With nil the log is listed
	// from its beginning to its end; otherwise in parts, Parallel at a time.
	After    func(key string) []byte
	Parallel int
	Store    *auditstore.Store
	// First is the first epoch of the audit; 0 means the first one that the log names.
	First uint64
	// MaxRequests bounds the requests of a walk.
	MaxRequests  int
	Rechecks     int
	RecheckPause time.Duration

	// Collect collects further evidence on names that contradict each other, of a few epochs in a
	// walk; nil collects none.
	Collect func(ctx context.Context, c incident.Concern)

	Metrics  observe.Metrics          // nil measures nothing
	Logger   zerolog.Logger           // for what is worth a line
	Progress func(done, total uint64) // nil, or called after each page; the total is a guess
}

// Result is what a walk found.
type Result struct {
	Chain    verdict.Chain
	Requests int // to the log directory
	// Changes are the epochs of which other names are listed than were on record, up to a bound.
	Changes []Change
	// Unconfirmed is how many shards have names on record that the walk did not see, and that were
	// found after all when they were looked for again, or were not: their record stays as it is.
	Unconfirmed int
}

// Walker walks a log's names. Any number of them may walk one log and record it in one audit store.
type Walker struct {
	config Config
	bounds bounds
}

// New checks a configuration.
func New(c Config) (*Walker, error) {
	switch err := verdict.CheckNamespace(c.Namespace); {
	case err != nil:
		return nil, err
	case c.Log == nil || c.Store == nil:
		return nil, errors.New("a walk of names needs a log directory and an audit store")
	case c.MaxRequests < 1 || c.Parallel < 1 || c.Rechecks < 1 || c.RecheckPause < 0:
		return nil, errors.New("a walk of names needs MaxRequests, Parallel, Rechecks and RecheckPause")
	}
	return &Walker{c, bounds{maxLenient, maxPending}}, nil
}

// walk is one walk.
type walk struct {
	Config
	bounds
	lister    *lister
	collector *collector
	base      verdict.Chain // what was on record before
	incidents incident.Recorder

	mu      sync.Mutex
	entries []verdict.ChainEntry
	// shards that are not whole, until it is known which of them are history
	pending     []verdict.ChainPiece
	pendingSize int
	doubles     map[uint64][]verdict.ChainName
	result      Result
	wrote       bool
	accused     int // shards whose names have changed
	collected   int // epochs on which further evidence was collected
}

func (w *Walker) begin(ctx context.Context) (*walk, error) {
	c := w.config
	base, err := c.Store.Chain(ctx, c.Namespace)
	if errors.Is(err, auditstore.ErrCorrupt) {
		// What it said is in the pieces, and the next one is made from the log.
		c.Logger.Error().Err(err).Msg("the record of the last walk cannot be read: it is made anew")
		base, err = verdict.Chain{Schema: verdict.Schema, Namespace: c.Namespace, Generation: base.Generation}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what is on record of the names of %s: %w", c.Namespace, err)
	}
	size := longPage
	if c.After != nil {
		size = pageSize
	}
	k := &walk{
		Config: c, bounds: w.bounds, base: base, doubles: map[uint64][]verdict.ChainName{},
		lister:    &lister{bucket: c.Log, size: size, max: int64(c.MaxRequests)},
		incidents: incident.Recorder{Store: c.Store, Metrics: c.Metrics, Log: c.Logger},
	}
	k.collector = &collector{namespace: c.Namespace, lenientMost: w.bounds.lenient, finished: func(p verdict.ChainPiece) error { return k.finished(ctx, p) }}
	return k, nil
}

// Walk lists all names of the log and records what it found.
//
// The names of a shard that is whole are recorded as soon as they are known, the others and the sum
// of all when the listing has come to its end. A crash before that leaves whole pieces, which the
// next walk writes again in vain, and the sum of the walk before.
func (w *Walker) Walk(ctx context.Context) (Result, error) {
	began := time.Now()
	k, err := w.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := k.listAll(ctx); err != nil {
		return k.partial(), err
	}
	names, _ := k.collector.counts()
	if names == 0 && len(k.base.Shards) > 0 {
		return k.partial(), errors.New("the log directory lists no epoch at all, though names are on record: it is another directory, or listing fails; no name is taken for gone")
	}
	k.result.Chain = verdict.Chain{WalkedAt: began.UTC(), Strays: k.collector.foundStrays()}
	if err := k.recordPending(ctx, true); err != nil {
		return k.partial(), err
	}
	if err := k.recordVanished(ctx); err != nil {
		return k.partial(), err
	}
	return k.finish(ctx, true)
}

// Extend lists the names from the end of what is on record up to the epoch newest and a little
// further. If nothing is on record, or much is missing, it walks the whole log.
func (w *Walker) Extend(ctx context.Context, newest uint64) (Result, error) {
	k, err := w.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	last := newest / verdict.EpochsPerShard
	from := k.openFrom(last)
	if k.base.WalkedAt.IsZero() || last >= from+maxExtension {
		return w.Walk(ctx)
	}
	k.collector.wanted = func(shard uint64) bool { return from <= shard && shard <= last }
	if from == 0 { // its epochs have no prefix in common
		err = k.listAll(ctx)
	} else {
		err = k.listShards(ctx, from, last)
	}
	if err != nil {
		return k.partial(), err
	}
	k.result.Chain = verdict.Chain{WalkedAt: k.base.WalkedAt, Strays: k.base.Strays, Far: k.base.Far}
	if err := k.recordPending(ctx, false); err != nil {
		return k.partial(), err
	}
	return k.finish(ctx, false)
}

func (k *walk) partial() Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.result
	r.Chain, r.Requests = k.base, int(k.lister.requests.Load())
	return r
}

// openFrom returns the first shard, up to a last one, after those that are on record to their end.
func (k *walk) openFrom(last uint64) (from uint64) {
	for _, e := range k.base.Shards {
		if e.Shard > last || e.Epochs() == 0 {
			continue
		}
		from = e.Shard
		if _, to := verdict.ShardRange(e.Shard); e.Generation > 0 && len(e.Runs) == 1 && e.Runs[0].To == to {
			from++
		}
	}
	return from
}

// listShards lists the epochs of some shards after the first. Other ways to write them come before
// all others.
func (k *walk) listShards(ctx context.Context, from, to uint64) error {
	for _, prefix := range []string{"+", "0"} {
		if err := k.listPrefix(ctx, prefix); err != nil {
			return err
		}
	}
	for shard := from; shard <= to; shard++ {
		if err := k.listPrefix(ctx, fmt.Sprint(shard)); err != nil {
			return err
		}
	}
	return k.collector.end()
}
