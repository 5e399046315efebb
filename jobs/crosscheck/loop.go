package crosscheck

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// A round asks an auditor so many times at most, and takes no longer. The next goes on.
	maxRequests  = 200
	roundTimeout = 10 * time.Minute
	// DefaultRate is how many times a second an auditor is asked.
	DefaultRate = 4
	// SilentAfter is how long an auditor may give no answer if no lag in time is set.
	SilentAfter = time.Hour
	maxPause    = 30 * time.Minute // while an auditor fails
)

// Config says which auditor is compared with which log. All fields must be set unless they say
// otherwise.
type Config struct {
	Namespace string
	Store     *auditstore.Store
	Incidents incident.Recorder
	Client    *client.Client // it should not retry: the loop does
	// RemoteNamespace is the log's name at the auditor, Keys are those that it signs with.
	RemoteNamespace string
	Keys            signature.Keys
	// Every is the time between two rounds.
	Every time.Duration
	// MaxLag and MaxLagEpochs are how long, or for how many epochs, the auditor may have no
	// signature for what has a verdict here; 0: for ever.
	MaxLag       time.Duration
	MaxLagEpochs uint64
	Rate         float64         // requests a second
	Metrics      observe.Metrics // nil measures nothing
	Tracer       observe.Tracer  // nil traces nothing
	Log          zerolog.Logger
}

// Loop compares one auditor with one log. What it remembers saves requests: without it, as after a
// restart, it comes to the same.
type Loop struct {
	Config
	id      string
	limiter *rate.Limiter

	highest   uint64               // the newest epoch that the auditor is known to have signed
	cursor    uint64               // the shard of history to go on before
	whole     map[uint64]bool      // shards of history of which everything is on record
	without   map[uint64]time.Time // shards of which the auditor has nothing, and until when that is believed
	verified  uint64               // the newest epoch that the auditor says it verified
	backward  int                  // how many answers in a row named an earlier one
	started   time.Time
	answered  time.Time // when it last gave an answer that can be read
	signed    time.Time // when it last gave a digest that is signed with a pinned key
	beyond    int       // how many facts it may raise where too many are open
	failures  int       // rounds in a row
	lastFault string
	notices   map[string]alert.Alert
}

// New returns a loop.
func New(c Config) *Loop {
	now := time.Now()
	return &Loop{
		Config: c, started: now, answered: now, signed: now, beyond: maxBeyond, id: ID(c.Client.URL()), limiter: rate.NewLimiter(rate.Limit(c.Rate), 4),
		whole: map[uint64]bool{}, without: map[uint64]time.Time{}, notices: map[string]alert.Alert{},
	}
}

// ID names an auditor by its origin in keys of the audit store, in incidents and in metrics.
func ID(origin string) string { return text.HostID(origin) }

// Run does a round at once and then one in each period. Only an end of ctx ends it.
func (l *Loop) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.Round(ctx)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn().Err(err).Str("auditor", l.Client.URL()).Msg("not all that an auditor signed could be compared; the next round tries again")
		}
		// The jitter keeps schedulers apart.
		_ = wait.For(ctx, time.Duration(float64(l.pause(err))*(0.75+rand.Float64()/2)))
	}
}

// pause is how long to wait after a round: longer the more have failed, and as long as the auditor
// asks to.
func (l *Loop) pause(err error) time.Duration {
	asked := time.Duration(0)
	if refused, ok := errors.AsType[*client.StatusError](err); ok {
		asked = refused.After
	}
	if _, isFault := errors.AsType[*fault](err); !isFault {
		l.failures = 0
		return max(l.Every, asked)
	}
	l.failures++
	return max(l.Every, asked, min(l.Every<<min(l.failures, 16), maxPause))
}

// Round compares what is due now.
func (l *Loop) Round(ctx context.Context) error { return l.round(ctx, time.Now()) }

func (l *Loop) round(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	end := observe.TracerOr(l.Tracer).Round(ctx, "crosscheck", l.Namespace)
	r := &round{
		Loop: l, now: now, requests: maxRequests, results: map[string]int{}, shards: map[uint64]*shard{},
		comparer: comparer{namespace: l.Namespace, store: l.Store, incidents: l.Incidents, beyond: &l.beyond},
	}
	err := r.run(ctx)
	end(err)
	metrics := observe.MetricsOr(l.Metrics)
	for result, n := range r.results {
		metrics.CrossChecked(l.Namespace, l.id, result, n)
	}
	metrics.SetCrossChecked(l.Namespace, l.id, l.highest)
	return err
}

// fault is that an auditor could not be asked, or gave no answer that can be read.
type fault struct{ error }

func (f *fault) Unwrap() error { return f.error }
