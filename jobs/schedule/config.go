package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/recheck"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// Config says how one log is followed. It is complete: a field must be set unless it says what 0 or
// nil means.
type Config struct {
	Namespace string
	Fetcher   *fetcher.Fetcher
	Store     *auditstore.Store
	// First is the first epoch to audit. Last is the last one of a log that is closed; 0 means that
	// it goes on.
	First, Last uint64
	// Anchor is the digest before First; a zero one is not known.
	Anchor verdict.Anchor
	// Cadence is how often the log publishes; 0 means to measure it. It bounds how far ahead epochs
	// are followed, and for how long a missing one is looked for before that is an alert.
	Cadence time.Duration
	// Poll is how often there is a round. Each pause is up to a quarter shorter, so that schedulers
	// and logs don't fall into step.
	Poll time.Duration
	// SilentAfter, TransientAfter and BacklogAge are how long the log may publish nothing, faults
	// may keep it or its epochs from being audited, and published epochs may lack a verdict before
	// that is an alert; 0 means for ever.
	SilentAfter, TransientAfter, BacklogAge time.Duration
	// KeyOverdueAfter and KeyOverdueEpochs are how long, or how many, epochs may wait for a key
	// that is not configured before that is critical; 0 means no such bound.
	KeyOverdueAfter  time.Duration
	KeyOverdueEpochs uint64
	// MaxLag and MaxLagEpochs are for how long, or by how many epochs, the audit may be behind the
	// log before that is trouble for OnRound; 0 means no such bound.
	MaxLag       time.Duration
	MaxLagEpochs uint64
	// Retention is how long archived batches are kept; 0 means for ever. Those of rejected epochs
	// are kept in any case.
	Retention time.Duration
	// Backfills are how history is audited. What none of them covers is audited as it becomes
	// history, with Window of its epochs on the queue.
	Backfills []BackfillPlan
	Window    int

	// Names walks the log's names: those that are new as they come, and all once in ChainEvery.
	// With nil they are not walked.
	Names      *chain.Walker
	ChainEvery time.Duration

	// Collect collects evidence on verified epochs that contradict each other, beyond what is on
	// record of them; nil collects none.
	Collect func(ctx context.Context, c incident.Concern)

	// Recheck says what is looked at again, and when; a zero one that nothing is. Log is the log
	// directory, to list many epochs at once; with nil they are listed one by one.
	Recheck recheck.Settings
	Log     *blob.Bucket

	// OnRound, if not nil, is called after each round of following with nil, or with what is wrong:
	// this round or the last one of history failed, or the audit is too far behind.
	OnRound func(err error)

	// Beside is what else runs with the log's loops, each until its context ends.
	Beside []func(ctx context.Context)

	Metrics observe.Metrics // nil measures nothing
	Tracer  observe.Tracer  // nil traces nothing
}

// BackfillPlan is a part of a log's history.
type BackfillPlan struct {
	// From and To are its first and last epoch. From is not before the log's First in any case; To
	// 0 means up to the newest history there is.
	From, To uint64
	// Cron says when to begin or go on, in UTC: five fields or a word such as @daily. It then goes
	// on until every epoch that was history has a verdict. Empty means always.
	Cron string
	// Window is how many of its epochs may be on the queue at the same time. Those that the log has
	// not published take no part in it once they were found missing; they are located again now and
	// then, with a cron each time that it is due. Those that cannot be judged for another reason,
	// such as a signed digest that never comes, stay in it.
	Window int
}

// validate returns what is wrong with a configuration, or nil.
func (c Config) validate() error {
	if err := verdict.CheckNamespace(c.Namespace); err != nil {
		return err
	}
	var err error
	switch {
	case c.Fetcher == nil || c.Store == nil:
		err = errors.New("a schedule needs a fetcher and an audit store")
	case c.First == 0:
		err = errors.New("a schedule needs a first epoch, 1 or later")
	case c.Last != 0 && c.Last < c.First:
		err = fmt.Errorf("last epoch %d is before the first, %d", c.Last, c.First)
	case max(c.First, c.Last) > verdict.MaxEpoch:
		err = fmt.Errorf("the audit store's layout ends at epoch %d", uint64(verdict.MaxEpoch))
	case c.Names != nil && c.ChainEvery <= 0:
		err = errors.New("a schedule that walks names needs a time between two walks (ChainEvery)")
	case c.Recheck.SampleOneIn > 0 && c.Recheck.SampleBytes <= 0:
		err = errors.New("a schedule with a sample needs a bound on its bytes (SampleBytes)")
	case c.Cadence < 0:
		err = errors.New("a schedule needs a cadence of 0 or more")
	case c.Poll <= 0:
		err = errors.New("a schedule needs a period (Poll)")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Namespace, err)
	}
	return nil
}
