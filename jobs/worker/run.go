package worker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

const (
	// defaultWindow is how many epochs a run keeps in play.
	DefaultWindow = 10_000
	// runTick is how often a run looks at the clock, checkEvery how often at what others wrote into the audit store.
	runTick    = 250 * time.Millisecond
	checkEvery = 3 * time.Second
	// idleAfter is how long a run waits for the queue to bring its epochs before it takes them up without the queue.
	idleAfter = 5 * time.Second
	// sealEvery is how often full shards are sealed.
	sealEvery = time.Minute
)

// RunConfig says what Run does. From and To must be set.
type RunConfig struct {
	From, To uint64
	// Window is how many epochs are on the queue at most. 0 means 10,000.
	Window int
	// NotPublishedWait is how long Run waits for an epoch that is not published or not signed, from when it first looked.
	// After that the epoch counts as missing. 0 means one look and no waiting.
	NotPublishedWait time.Duration
	// FaultWait is how long Run goes on trying an epoch that faults keep from a verdict, from the first of them. After
	// that it counts as failed. 0 means 10 min. An epoch that was written too recently has so long, and the auditor's Settle, to
	// settle.
	FaultWait time.Duration
	Worker    Config
	// Progress, if not nil, is called after every change, by one goroutine at a time and not after Run has returned.
	Progress func(RunSummary)
}

// RunSummary says how far a run has come.
type RunSummary struct {
	Total    uint64 `json:"total"`
	Verified uint64 `json:"verified"`
	Rejected uint64 `json:"rejected"`
	Missing  uint64 `json:"missing"` // not published or not signed within the wait
	Failed   uint64 `json:"failed"`  // could not be judged because of faults
}

// Settled is how many epochs nothing more will happen to in this run.
func (s RunSummary) Settled() uint64 { return s.Verified + s.Rejected + s.Missing + s.Failed }

// Run audits a range of epochs in this process, and returns when each has a verdict in the audit store or was given up.
// Killed at any moment, it goes on where it was when run again. Other workers on the same Redis may help.
//
// A program's exit status: 2 if err != nil or Failed > 0, else 1 if Rejected or Missing > 0, else 0. If ctx ends first, Run
// stops as a worker does, and returns ctx's error.
func Run(ctx context.Context, r *queue.Redis, a *audit.Auditor, c RunConfig) (RunSummary, error) {
	if err := epochset.CheckRange(c.From, c.To); err != nil {
		return RunSummary{}, err
	}
	if c.Window <= 0 {
		c.Window = DefaultWindow
	}
	if c.FaultWait <= 0 {
		c.FaultWait = 10 * time.Minute
	}
	c.Worker.PollInterval = cmp.Or(c.Worker.PollInterval, 200*time.Millisecond)
	// An epoch is looked at several times within the waits.
	c.Worker = c.Worker.withDefaults()
	c.Worker.NotYetDelay = min(c.Worker.NotYetDelay, max(c.NotPublishedWait/3, time.Second))
	c.Worker.MaxRetryDelay = min(c.Worker.MaxRetryDelay, c.FaultWait/3)

	worker, err := New(r, []*audit.Auditor{a}, c.Worker, a.Log)
	if err != nil {
		return RunSummary{}, err
	}
	run := &run{
		config: c, auditor: a, worker: worker,
		enqueuer: &queue.Enqueuer{Redis: r, Namespace: a.Namespace},
		sealer:   &seal.Sealer{Store: a.Store, Namespace: a.Namespace, Log: a.Log, Metrics: a.Metrics},
		summary:  RunSummary{Total: c.To - c.From + 1},
		next:     c.From, open: map[uint64]*openEpoch{},
		attempts: make(chan attempt, c.Worker.Concurrency),
		moved:    time.Now(),
	}
	if run.sealed, err = report.ReadHistory(ctx, a.Store, a.Namespace); err != nil {
		return RunSummary{}, err
	}
	return run.run(ctx)
}

// run is one call of Run. All but attempts and inFlight belongs to one goroutine.
type run struct {
	config   RunConfig
	auditor  *audit.Auditor
	worker   *Worker
	enqueuer *queue.Enqueuer
	sealer   *seal.Sealer // remembers the digests that it has read

	summary RunSummary
	sealed  verdict.History       // as it was when the run began
	next    uint64                // the first epoch that is not in play yet; past To, there is none
	open    map[uint64]*openEpoch // in play, and without a verdict

	attempts chan attempt
	direct   sync.WaitGroup // of epochs taken up without the queue
	taken    bool           // so they were last
	moved    time.Time      // when something last happened
	checked  time.Time      // when the audit store was last looked at
}

// openEpoch is what a run knows of an epoch without a verdict.
type openEpoch struct {
	missingSince   time.Time // when it was first found not to be published or signed
	failingSince   time.Time // when it first failed
	unsettledSince time.Time // when it was first found to be written too recently
	restsUntil     time.Time // when the queue should have brought it back since it was last so
}

func (r *run) run(ctx context.Context) (RunSummary, error) {
	working, stop := context.WithCancel(ctx)
	r.worker.observe = func(a attempt) {
		select {
		case r.attempts <- a:
		case <-working.Done():
		}
	}
	workerEnded := make(chan error, 1)
	go func() { workerEnded <- r.worker.Run(working) }()
	var sealing sync.WaitGroup
	sealing.Go(func() { r.sealForEver(working) })

	err := r.loop(ctx, working, workerEnded)
	stop()
	r.direct.Wait()
	sealing.Wait()
	r.seal(ctx)
	if workerErr := <-workerEnded; err == nil {
		err = workerErr
	}
	return r.summary, err
}

// sealForEver seals what the run has done now and then, so that it need not be looked at again should the run be killed.
func (r *run) sealForEver(ctx context.Context) {
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
		r.auditor.Log.Warn().Err(err).Msg("what is full cannot be sealed: ktaudit seal tries again")
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
			return nil
		}
		select {
		case a := <-r.attempts:
			r.note(a)
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

// fill puts more epochs in play when half of the window is free. Those with a verdict are settled at once.
func (r *run) fill(ctx context.Context) error {
	for r.next <= r.config.To && len(r.open) <= r.config.Window/2 {
		last := min(r.config.To, r.next-1+uint64(r.config.Window-len(r.open)))
		for epoch := r.next; epoch <= last; epoch++ {
			r.open[epoch] = &openEpoch{}
		}
		from := r.next
		r.next = last + 1
		err := report.Walk(ctx, r.auditor.Store, r.sealed, from, last, report.Visitor{
			Sealed: func(span verdict.Span) error { r.settleSealed(span); return nil },
			Open:   func(epochs []uint64) error { return r.settleJudged(ctx, epochs) },
		})
		if err != nil {
			return err
		}
		if err := r.enqueue(ctx, from, last); err != nil {
			return err
		}
	}
	return nil
}

// enqueue puts the open epochs of a part of the range on the queue, unless they are there. That it cannot is no reason to end:
// the epochs will be taken up without it.
func (r *run) enqueue(ctx context.Context, from, to uint64) error {
	_, err := r.enqueuer.EnqueueEach(ctx, func(send func(uint64) error) error {
		for _, epoch := range r.openEpochs(from, to) {
			if err := send(epoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.auditor.Log.Warn().Err(err).Msg("the queue takes no epochs")
		return nil
	}
	return err
}

func (r *run) openEpochs(from, to uint64) []uint64 {
	var epochs []uint64
	for epoch := range r.open {
		if from <= epoch && epoch <= to {
			epochs = append(epochs, epoch)
		}
	}
	slices.Sort(epochs)
	return epochs
}

// settleJudged settles those of the epochs that are open; all have a verdict, whoever wrote it.
func (r *run) settleJudged(ctx context.Context, epochs []uint64) error {
	epochs = slices.DeleteFunc(epochs, func(epoch uint64) bool { return r.open[epoch] == nil })
	verdicts, err := report.ReadVerdicts(ctx, r.auditor.Store, r.auditor.Namespace, epochs)
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		r.settle(v.Epoch, outcomeCount(&r.summary, v))
	}
	return nil
}

// settleSealed settles those epochs of a sealed span that are open.
func (r *run) settleSealed(span verdict.Span) {
	for epoch := span.From; epoch <= span.To; epoch++ {
		switch {
		case r.open[epoch] == nil:
		case report.IsRejected(span, epoch):
			r.settle(epoch, &r.summary.Rejected)
		default:
			r.settle(epoch, &r.summary.Verified)
		}
	}
}

func outcomeCount(s *RunSummary, v verdict.Verdict) *uint64 {
	if v.Outcome == verdict.Verified {
		return &s.Verified
	}
	return &s.Rejected
}

func (r *run) settle(epoch uint64, count *uint64) {
	delete(r.open, epoch)
	*count++
	r.moved = time.Now()
	if r.config.Progress != nil {
		r.config.Progress(r.summary)
	}
}

// note takes in how an attempt at an epoch ended. An attempt that was broken off says nothing.
func (r *run) note(a attempt) {
	open := r.open[a.epoch]
	if open == nil {
		return // not ours, or settled
	}
	r.moved = time.Now()
	r.taken = r.taken && !a.queued
	_, contradicted := errors.AsType[*audit.ContradictionError](a.err)
	switch {
	case a.err == nil || contradicted:
		r.settle(a.epoch, outcomeCount(&r.summary, a.verdict))
	case errors.Is(a.err, context.Canceled):
	case errors.Is(a.err, audit.ErrTooRecent):
		if open.unsettledSince.IsZero() {
			open.unsettledSince = time.Now()
		}
		open.restsUntil = time.Now().Add(2*r.auditor.MinAge + idleAfter)
	case audit.IsNotYet(a.err):
		if open.missingSince.IsZero() {
			open.missingSince = time.Now()
		}
		r.giveUp(a.epoch, open)
	default:
		if open.failingSince.IsZero() {
			open.failingSince = time.Now()
		}
	}
}

// giveUp settles an epoch that was waited for long enough.
func (r *run) giveUp(epoch uint64, open *openEpoch) {
	switch {
	case !open.missingSince.IsZero() && time.Since(open.missingSince) >= r.config.NotPublishedWait:
		r.settle(epoch, &r.summary.Missing)
	case !open.failingSince.IsZero() && time.Since(open.failingSince) >= r.config.FaultWait,
		!open.unsettledSince.IsZero() && time.Since(open.unsettledSince) >= r.config.FaultWait+r.auditor.MinAge:
		r.settle(epoch, &r.summary.Failed)
	}
}

func (r *run) tick(ctx, working context.Context) error {
	for epoch, open := range r.open {
		r.giveUp(epoch, open)
	}
	if time.Since(r.checked) >= checkEvery && !r.enqueuer.Redis.IsEmbedded() { // else there are no other workers
		if err := r.check(ctx); err != nil {
			return err
		}
		r.checked = time.Now()
	}
	if r.worker.inFlight.Load() > 0 {
		return nil
	}
	switch {
	case r.taken: // and the queue has brought nothing since
		r.takeUp(working)
	case time.Since(r.moved) >= idleAfter:
		if err := r.enqueue(ctx, 0, r.next); err != nil {
			return err
		}
		r.takeUp(working)
	}
	return nil
}

// check settles what other workers have judged.
func (r *run) check(ctx context.Context) error {
	shards := map[uint64]bool{}
	for epoch := range r.open {
		shards[epoch/verdict.EpochsPerShard] = true
	}
	for shard := range shards {
		epochs, err := r.auditor.Store.Epochs(ctx, r.auditor.Namespace, shard)
		if err != nil {
			return err
		}
		if err := r.settleJudged(ctx, epochs); err != nil {
			return err
		}
	}
	return nil
}

// takeUp audits some epochs that the queue has not brought, without it. They may lie with a worker that died, or Redis may
// have lost them or be gone. Should another worker be at one of them, both come to the same verdict.
func (r *run) takeUp(working context.Context) {
	r.taken, r.moved = true, time.Now()
	free := r.config.Worker.Concurrency
	for _, epoch := range r.openEpochs(0, r.next) {
		open := r.open[epoch]
		if free == 0 {
			return
		}
		// Else it rests before its next try.
		if open.missingSince.IsZero() && open.failingSince.IsZero() && time.Now().After(open.restsUntil) {
			free--
			r.direct.Go(func() { _ = r.worker.audit(working, r.auditor, epoch) })
		}
	}
}
