package worker

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

const (
	// runTick is how often a run checks its waits, checkEvery how often at what others wrote into
	// the audit store.
	runTick    = 250 * time.Millisecond
	checkEvery = 3 * time.Second
	// idleAfter is how long a run waits for the queue to bring its epochs before it audits them
	// without it.
	idleAfter = 5 * time.Second
	// sealEvery is how often full shards are sealed.
	sealEvery = time.Minute
)

// RunConfig says what Run does. All fields must be set unless they say what 0 or nil means.
type RunConfig struct {
	From, To uint64
	// Window is how many epochs are on the queue at most.
	Window int
	// NotPublishedWait is how long Run waits for an epoch that is not published or not signed, from
	// when it was first found so. After that the epoch counts as missing. 0 means one attempt and
	// no waiting.
	NotPublishedWait time.Duration
	// FaultWait is how long Run goes on trying an epoch that faults keep from a verdict, from the
	// first of them. After that it counts as failed. An epoch that was written too recently has so
	// long, and the auditor's MinAge.
	FaultWait time.Duration
	Worker    Config
	// Progress, if not nil, is called after every change, by one goroutine at a time and not after
	// Run has returned.
	Progress func(RunSummary)
	// Waiting, if not nil, is called a few times a second with the first epoch that is waited for,
	// nil if there is none. It is called as Progress is.
	Waiting func(*Wait)
	// Keyless, if not nil, is called once with the first epoch that is signed with a key that the
	// auditor does not trust, and what that key is. It is called as Progress is. Run returns its
	// error.
	Keyless func(ctx context.Context, epoch uint64, why error) error
}

// Wait is an epoch that a run waits for. It was tried, and has no verdict yet.
type Wait struct {
	Epoch uint64
	Why   string
	Until time.Time // when it is given up
	// Again is when it is looked at again, if that is known: it was written too recently.
	Again time.Time
	More  int // how many other epochs are waited for
}

// RunSummary says how far a run has come.
type RunSummary struct {
	Total    uint64 `json:"total"`
	Verified uint64 `json:"verified"`
	Rejected uint64 `json:"rejected"`
	Missing  uint64 `json:"missing"` // not published or not signed within the wait
	Failed   uint64 `json:"failed"`  // could not be judged because of faults
}

// Done returns how many epochs this run is done with.
func (s RunSummary) Done() uint64 { return s.Verified + s.Rejected + s.Missing + s.Failed }

// Run audits a range of epochs in this process, and returns when each has a verdict in the audit
// store or was given up. Killed at any moment, it goes on where it was when run again. Other
// workers on the same queue may help.
//
// A program's exit status: 2 if err != nil or Failed > 0, else 1 if Rejected or Missing > 0, else
// 0. If ctx ends first, Run stops as a worker does, and returns ctx's error.
func Run(ctx context.Context, q Queue, a *audit.Auditor, c RunConfig) (RunSummary, error) {
	if err := epochset.CheckRange(c.From, c.To); err != nil {
		return RunSummary{}, err
	}
	switch {
	case c.Window <= 0:
		return RunSummary{}, errors.New("run: Window is not set")
	case c.FaultWait <= 0:
		return RunSummary{}, errors.New("run: FaultWait is not set")
	}
	// An epoch is tried several times within the waits.
	c.Worker.NotYetDelay = min(c.Worker.NotYetDelay, max(c.NotPublishedWait/3, time.Second))
	c.Worker.MaxRetryDelay = min(c.Worker.MaxRetryDelay, c.FaultWait/3)

	worker, err := New(q, []*audit.Auditor{a}, c.Worker, a.Log)
	if err != nil {
		return RunSummary{}, err
	}
	run := &run{
		config: c, auditor: a, worker: worker,
		sealer:  &seal.Sealer{Store: a.Store, Namespace: a.Namespace, Log: a.Log, Metrics: a.Metrics, Collect: a.Evidence.On},
		summary: RunSummary{Total: c.To - c.From + 1},
		next:    c.From, open: map[uint64]*epochState{},
		attempts:   make(chan attempt, c.Worker.Concurrency),
		progressed: time.Now(),
	}
	if run.sealed, err = report.ReadHistory(ctx, a.Store, a.Namespace); err != nil {
		return RunSummary{}, err
	}
	return run.run(ctx)
}

// run is one call of Run. All but attempts and inFlight belongs to one goroutine.
type run struct {
	config  RunConfig
	auditor *audit.Auditor
	worker  *Worker
	sealer  *seal.Sealer // remembers the digests that it has read

	summary RunSummary
	sealed  verdict.History // as it was when the run began
	// the first epoch that is not in play yet; past To, there is none
	next uint64
	open map[uint64]*epochState // in play, and without a verdict

	// the lowest epoch that waits for a key, 0 if there is none, and why; and whether that was said
	keyless     uint64
	keylessWhy  error
	keylessSaid bool

	attempts     chan attempt
	direct       sync.WaitGroup // of epochs audited without the queue
	withoutQueue bool           // so they were last
	progressed   time.Time      // when something last happened
	checked      time.Time      // when the audit store was last looked at
}

// epochState is what a run knows of an epoch without a verdict.
type epochState struct {
	missingSince   time.Time // when it was first found not to be published or signed
	failingSince   time.Time // when it first failed
	tooRecentSince time.Time // when it was first found to be written too recently
	why            error     // why it has no verdict, when it was last tried
	againAt        time.Time // when that ends; zero if it was not too recent when last tried
	restsUntil     time.Time // when the queue should have brought it back since it was last so
}

func (r *run) run(ctx context.Context) (RunSummary, error) {
	working, stop := context.WithCancel(ctx)
	observed, ignore := context.WithCancel(context.Background())
	r.worker.observe = func(a attempt) {
		select {
		case r.attempts <- a:
		case <-observed.Done():
		}
	}
	workerEnded := make(chan error, 1)
	go func() { workerEnded <- r.worker.Run(working) }()
	var sealing sync.WaitGroup
	sealing.Go(func() { r.sealLoop(working) })

	err := r.loop(ctx, working, workerEnded)
	stop()
	if workerErr := r.windUp(workerEnded); err == nil {
		err = workerErr
	}
	ignore()
	r.direct.Wait()
	sealing.Wait()
	r.seal(ctx)
	if err == nil { // no scheduler comes after it
		err = r.sealer.CheckStretches(ctx, r.config.From, r.auditor.Anchor)
	}
	return r.summary, err
}

// windUp takes in what was in flight when the run was told to stop and is finished all the same,
// until the worker has ended.
func (r *run) windUp(workerEnded <-chan error) error {
	for {
		select {
		case a := <-r.attempts:
			r.takeIn(a)
		case err := <-workerEnded:
			for len(r.attempts) > 0 {
				r.takeIn(<-r.attempts)
			}
			return err
		}
	}
}

// sealLoop seals what the run has done now and then, so that it need not be looked at again should
// the run be killed.
func (r *run) sealLoop(ctx context.Context) {
	for {
		if wait.For(ctx, sealEvery) != nil {
			return
		}
		r.seal(ctx)
	}
}

// seal seals the shards of the range that are full. That it cannot takes nothing from the run.
func (r *run) seal(ctx context.Context) {
	first, end := (r.config.From+verdict.EpochsPerShard-1)/verdict.EpochsPerShard, (r.config.To+1)/verdict.EpochsPerShard
	if r.config.From == 1 {
		first = 0 // there is no epoch 0
	}
	if first >= end {
		return // no shard is wholly the run's
	}
	from, _ := verdict.ShardRange(first)
	_, to := verdict.ShardRange(end - 1)
	if _, err := r.sealer.Seal(ctx, from, to); err != nil && ctx.Err() == nil {
		r.auditor.Log.Warn().Err(err).Msg("sealing failed; run `ktaudit seal` to retry")
	}
}

func (r *run) loop(ctx, working context.Context, workerEnded chan error) error {
	ticker := time.NewTicker(runTick)
	defer ticker.Stop()
	for {
		if err := r.fill(ctx); err != nil {
			return err
		}
		if len(r.open) == 0 {
			return r.sayKeyless(ctx)
		}
		select {
		case a := <-r.attempts:
			r.takeIn(a)
		case <-ticker.C:
			if err := r.tick(ctx, working); err != nil {
				return err
			}
		case err := <-workerEnded: // because it never started, or as it should
			workerEnded <- nil
			return cmp.Or(err, ctx.Err())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
