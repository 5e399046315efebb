package witnessing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/selfcheck"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
)

const (
	// stepsFor is how long appending goes on, each time by as much as may be at once, before
	// witnesses are asked and the rest is looked at.
	stepsFor = time.Minute
	// askAgain is how often witnesses are asked about what they have cosigned, and holdEvery how
	// often the store is held against it, so that a store that was put back is noticed.
	askAgain  = time.Hour
	holdEvery = 10 * time.Minute
	// late is how long cosignatures may lack, or appending may fail, before that is an alert.
	late = time.Hour
)

// ErrChanged says that the store does not hold what the log signed. An incident says what; another
// try is of no use.
var ErrChanged = errors.New("the audit store does not hold what the verdict log signed")

// Log is one of a namespace's two logs, with who signs it.
type Log struct {
	*transparency.Log
	Signer note.Signer
	// Own is what a checkpoint of this auditor's must have, Witnessed what one must have that
	// counts as witnessed; nil if there are no witnesses.
	Own, Witnessed torchwood.Policy
	// Witnesses are asked to cosign; nil if there are none.
	Witnesses *witnesses.Witnesses
}

// Trust is what the log's checkpoints are checked with.
func (l Log) Trust() selfcheck.Trust {
	return selfcheck.Trust{Own: l.Own, Witnessed: l.Witnessed}
}

// Config says which verdict log is kept, and how. All fields must be set unless they say otherwise.
type Config struct {
	Namespace        string
	Store            *auditstore.Store
	Incidents        incident.Recorder
	Verdicts, Events Log
	// From is the first epoch of the history that will be audited; 0 if none will be. The log
	// begins there, or with the first epoch that has a verdict, if that is before.
	From uint64
	// Every is the time between two rounds.
	Every time.Duration
	// NotPublishedAfter is how long an epoch is waited for once a later one has a verdict; 0 means
	// for ever.
	NotPublishedAfter time.Duration
	// IsPublished asks the log, past all caches, whether it has an epoch. Nil: nothing counts as
	// never published.
	IsPublished func(ctx context.Context, epoch uint64) (bool, error)
	// Progress is told how many entries the verdict log has, from its first epoch on; nil tells
	// nobody.
	Progress func(first uint64, entries int64)
	Metrics  observe.Metrics // nil measures nothing
	Tracer   observe.Tracer  // nil traces nothing
	Log      zerolog.Logger
}

// Loop keeps the verdict log of one namespace. What it remembers saves requests, and bounds how
// long faults may last; a new one comes to the same.
type Loop struct {
	Config
	recorder *transparency.Recorder
	logs     []*logState

	good    time.Time // when a round last succeeded
	last    error     // why the last one did not
	held    time.Time // when the store was last held against what is witnessed
	notices map[string]alert.Alert
}

// logState is what a Loop remembers of a log.
type logState struct {
	Log
	newest    transparency.Checkpoint
	witnessed int64                   // entries under the newest witnessed checkpoint
	lacking   transparency.Checkpoint // on record as witnessed, without the cosignatures that it needs
	asked     time.Time               // when all witnesses were last asked about the newest checkpoint
	complete  time.Time               // when all that is signed was last cosigned by enough
	answers   []witnesses.Answer
	ahead     map[string]int64 // by witness, the larger tree that it named in the last round
}

// New returns a loop.
func New(c Config) *Loop {
	now := time.Now()
	l := &Loop{Config: c, recorder: transparency.NewRecorder(c.Store, c.Namespace, isFact), good: now, notices: map[string]alert.Alert{}}
	for _, log := range []Log{c.Verdicts, c.Events} {
		l.logs = append(l.logs, &logState{Log: log, complete: now, ahead: map[string]int64{}})
	}
	return l
}

// Run does a round at once and then one in each period, or without a pause while there is more to
// append. Only an end of ctx ends it.
func (l *Loop) Run(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := l.Round(ctx)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn().Err(err).Msg("not all of the verdict log could be brought up to date; the next round tries again")
		}
		if err == nil && more {
			continue
		}
		// The jitter keeps schedulers apart.
		_ = wait.For(ctx, time.Duration(float64(l.Every)*(0.75+rand.Float64()/2)))
	}
}

// Round appends what is due, has it cosigned and published, and raises what is wrong. More: there
// is more to append.
func (l *Loop) Round(ctx context.Context) (more bool, err error) { return l.round(ctx, time.Now()) }

func (l *Loop) round(ctx context.Context, now time.Time) (more bool, err error) {
	end := observe.TracerOr(l.Tracer).Round(ctx, "witnessing", l.Namespace)
	defer func() { end(err) }()
	more, err = l.appendAll(ctx, now)
	errs := []error{err}
	for _, log := range l.logs {
		errs = append(errs, l.publish(ctx, log, now))
	}
	// Also after a fault, which whoever changed the store may have made: but not after a finding.
	if !errors.Is(err, ErrChanged) && now.Sub(l.held) >= holdEvery {
		errs = append(errs, l.hold(ctx, now))
	}
	// A log that cannot go on because the store was changed has an incident, and stands still all
	// the same: once the incident was acknowledged, nothing else would say so.
	if l.last = errors.Join(errs...); l.last == nil {
		l.good = now
	}
	for _, log := range l.logs {
		state := observe.VerdictLogState{Entries: log.newest.N, Witnessed: log.witnessed}
		if err == nil && !more {
			state.AppendedAt = now
		}
		observe.MetricsOr(l.Metrics).SetVerdictLog(l.Namespace, string(log.Kind()), state)
	}
	return more, errors.Join(l.last, l.conditions(ctx, now))
}

// appendAll appends to both logs. What is wrong with one does not hold up the other.
func (l *Loop) appendAll(ctx context.Context, now time.Time) (more bool, err error) {
	recorded, recordErr := l.recorder.Record(ctx)
	more = recordErr == nil && recorded >= transparency.MaxRecorded
	errs := []error{recordErr}
	for _, log := range l.logs {
		if log.Kind() == transparency.Verdicts {
			began, err := l.begin(ctx, log)
			if !began {
				errs = append(errs, err)
				continue
			}
		}
		unfinished, err := l.advance(ctx, log)
		if err == nil && !unfinished && log.Kind() == transparency.Verdicts {
			unfinished, err = l.passOver(ctx, log, now)
		}
		more = more || unfinished
		errs = append(errs, err)
	}
	return more, errors.Join(errs...)
}

// isFact reports whether an incident becomes an event: conditions of the audit pass, and say
// nothing of the log.
func isFact(data []byte) bool {
	var a alert.Alert
	return json.Unmarshal(data, &a) != nil || !a.Kind.Ends() || a.Kind == alert.Withdrawn || a.Kind == alert.Skipped
}

// begin lets the verdict log begin, once and for ever: with the first epoch that has a verdict, or
// with From, if that is before. It reports whether it has begun: it does not before there is one.
func (l *Loop) begin(ctx context.Context, log *logState) (bool, error) {
	_, err := log.First(ctx)
	if !errors.Is(err, transparency.ErrNoCheckpoint) {
		return err == nil, err
	}
	first, _, err := JudgedFrom(ctx, l.Store, l.Namespace, 0)
	if err != nil || first == 0 {
		return false, err
	}
	if l.From != 0 {
		first = min(first, l.From)
	}
	_, err = log.Begin(ctx, first)
	return err == nil, err
}

// LastJudged is the last epoch that has a verdict; 0 if none has.
func LastJudged(ctx context.Context, store *auditstore.Store, namespace string) (uint64, error) {
	_, last, err := JudgedFrom(ctx, store, namespace, 0)
	return last, err
}

// State is how far a log was after the last round.
type State struct {
	Kind               transparency.Kind
	Entries, Witnessed int64
	Answers            []witnesses.Answer // to the last checkpoint that witnesses were asked about
	// Disputed: a witness knows another log, or one that is ahead, which another round may settle.
	Disputed bool
}

// State returns how far the verdict log and the log of events were after the last round.
func (l *Loop) State() []State {
	var all []State
	for _, log := range l.logs {
		disputed := slices.ContainsFunc(log.answers, func(a witnesses.Answer) bool { return IsDisagreement(a.Err) })
		all = append(all, State{log.Kind(), log.newest.N, log.witnessed, log.answers, disputed})
	}
	return all
}

// advance appends until nothing is due, or for a minute.
func (l *Loop) advance(ctx context.Context, log *logState) (more bool, err error) {
	for began := time.Now(); ; {
		c, err := log.Advance(ctx, log.Signer, log.Own, transparency.MaxAppend)
		if errors.Is(err, transparency.ErrNoCheckpoint) {
			return false, nil // nothing is due
		}
		if err != nil {
			return false, l.appendError(ctx, log, err)
		}
		grew := c.N > log.newest.N
		log.newest = c
		if l.Progress != nil && log.Kind() == transparency.Verdicts {
			if first, err := log.First(ctx); err == nil {
				l.Progress(first, c.N)
			}
		}
		if !grew || time.Since(began) >= stepsFor {
			return grew, nil
		}
	}
}

// appendError raises what no later round can mend.
func (l *Loop) appendError(ctx context.Context, log *logState, err error) error {
	fork, isFork := errors.AsType[*transparency.ForkError](err)
	if !isFork && !errors.Is(err, transparency.ErrNotOurs) {
		return err
	}
	c := Changed{Log: string(log.Kind()), Found: []string{err.Error()}}
	if isFork {
		c.Size, c.Root = fork.Signed.N, fork.Signed.Hash.String()
	}
	return errors.Join(fmt.Errorf("%w: %w", ErrChanged, err), RaiseChanged(ctx, l.Incidents, l.Namespace, log.Log.Log, c))
}

// hold holds the store against the newest witnessed checkpoints, with a bounded number of reads.
func (l *Loop) hold(ctx context.Context, now time.Time) error {
	report, err := selfcheck.Checker{Store: l.Store, Namespace: l.Namespace, Verdicts: l.Verdicts.Trust(), Events: l.Events.Trust()}.Check(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("holding the store against the verdict log: %w", err)
	}
	l.held = now
	report.Findings = slices.DeleteFunc(report.Findings, isNoChange)
	err = RaiseFindings(ctx, l.Incidents, l.Namespace, l.Verdicts, l.Events, report)
	if len(report.Findings) > 0 {
		err = errors.Join(fmt.Errorf("%w: %s", ErrChanged, report.Findings[0].Text), err)
	}
	return err
}
