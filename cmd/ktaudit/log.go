package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/witnessing"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
)

type logCmd struct {
	Append logAppendCmd `cmd:"" help:"Append what is due to the verdict log, and have it cosigned."`
	Show   logShowCmd   `cmd:"" help:"Show the verdict log: its key, its checkpoints and its witnesses."`
	Check  logCheckCmd  `cmd:"" help:"Check the verdict log, and the verdicts against it."`
	Absent logAbsentCmd `cmd:"" help:"Say, on record, that an epoch was never published."`
}

func (logCmd) Help() string {
	return `The verdict log holds this auditor's own verdicts, in the order of their epochs, in a form that only grows: a signed checkpoint
says what is in it, and witnesses cosign that. Whoever keeps a checkpoint sees if what the auditor said is changed. It is kept if
the configuration file has the section verdict_log; docs/verdict-log.md says how to set it up.

Examples:
  ktaudit log show --config ktaudit.yaml
  ktaudit log check --config ktaudit.yaml
  ktaudit log append --config ktaudit.yaml
  ktaudit log absent 1017 --config ktaudit.yaml --by alice --reason "the log skipped it, says its operator"`
}

type logAppendCmd struct {
	storedFlags
	First uint64 `group:"log" placeholder:"EPOCH" help:"First epoch of a log that has not begun, which cannot be changed later. By default the first epoch that has a verdict, or where the first backfill begins."`
}

func (logAppendCmd) Help() string {
	return `Appends all verdicts that are due, up to the first epoch without one, and what else is on record; then asks the witnesses to cosign.
scheduler and run do so by themselves; use this command for audits without them. Any number of processes may append at the same
time, and if one is killed the next goes on where it stopped.

Exits with 1 if the audit store does not hold what was signed before (nothing is signed then), or if too few witnesses cosigned.

Examples:
  ktaudit log append --config ktaudit.yaml
  ktaudit log append --config ktaudit.yaml --namespace example --first 1000`
}

// appended is what log append prints with --json.
type appended struct {
	Namespace string      `json:"namespace"`
	Verdicts  logAppended `json:"verdicts"`
	Events    logAppended `json:"events"`
	Findings  []string    `json:"findings,omitempty"`
}

type logAppended struct {
	Entries  int64 `json:"entries"`
	Appended int64 `json:"appended"`
	// Witnessed entries are under a checkpoint that enough witnesses have cosigned.
	Witnessed int64 `json:"witnessed"`
	// Disputed: a witness knows another log.
	Disputed bool              `json:"disputed,omitempty"`
	Answers  []witnessAnswered `json:"witnesses,omitempty"`
}

type witnessAnswered struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
}

// Run appends to the logs of one namespace after the other.
func (c logAppendCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("log append")
	if err != nil {
		return err
	}
	if err := c.forOneLog(settings, namespaces, flagsGiven(map[string]bool{"--first": c.First != 0})); err != nil {
		return err
	}
	own, err := needVerdictLog(settings, true)
	if err != nil {
		return err
	}
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	store, err := c.openWritable(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return targets.sendAlerts(ctx, store, namesOf(namespaces), nil, a.log, func() error {
		return a.eachLog(namespaces, func(n config.Namespace) error { return c.append(ctx, a, own, store, n) })
	})
}

func (c logAppendCmd) append(ctx context.Context, a *app, own *verdictLog, store *auditstore.Store, n config.Namespace) error {
	config, err := own.loop(a, n, store, observers{}, nil)
	if err != nil {
		return err
	}
	if c.First != 0 {
		first, err := config.Verdicts.Begin(ctx, c.First)
		if err != nil {
			return err
		}
		if first != c.First {
			a.log.Warn().Uint64("first", first).Msg("the log has begun with another epoch, which cannot be changed")
		}
	}
	before := [2]int64{entriesOf(ctx, config.Verdicts), entriesOf(ctx, config.Events)}
	defer a.bars.finish()
	last, err := witnessing.LastJudged(ctx, store, n.Namespace)
	if err != nil {
		return err
	}
	config.Progress = func(first uint64, entries int64) {
		if last >= first {
			a.bars.follow("appending", "entries", uint64(entries), last-first+1)
		}
	}
	loop := witnessing.New(config)
	err = roundsOf(ctx, loop)
	a.bars.finish()
	result := appended{Namespace: n.Namespace}
	if errors.Is(err, witnessing.ErrChanged) {
		result.Findings = append(result.Findings, err.Error())
	} else if err != nil {
		return err
	}
	for i, log := range []*logAppended{&result.Verdicts, &result.Events} {
		state := loop.State()[i]
		log.Entries = max(state.Entries, before[i]) // none are known of one that could not go on
		log.Appended, log.Witnessed = log.Entries-before[i], state.Witnessed
		log.Disputed = state.Disputed
		for _, answer := range state.Answers {
			w := witnessAnswered{Name: answer.Name}
			if answer.Err != nil {
				w.Error = answer.Err.Error()
			}
			log.Answers = append(log.Answers, w)
		}
	}
	return a.reportAppended(result, len(own.witnesses.Members) > 0)
}

// roundsOf does rounds until nothing is due, and once more where a witness seems to be ahead.
func roundsOf(ctx context.Context, loop *witnessing.Loop) (err error) {
	more := true
	for more && err == nil {
		more, err = loop.Round(ctx)
	}
	isDisputed := func(s witnessing.State) bool { return s.Disputed }
	if err == nil && slices.ContainsFunc(loop.State(), isDisputed) {
		_, err = loop.Round(ctx)
	}
	return err
}

// entriesOf is how many entries the newest checkpoint of a log has; 0 if there is none.
func entriesOf(ctx context.Context, log witnessing.Log) int64 {
	c, err := log.Newest(ctx)
	if err != nil {
		return 0
	}
	return c.N
}

func (a *app) reportAppended(r appended, isWitnessed bool) error {
	lacks, disputed := false, false
	for _, log := range []logAppended{r.Verdicts, r.Events} {
		lacks = lacks || isWitnessed && log.Witnessed < log.Entries
		disputed = disputed || log.Disputed
	}
	if a.json {
		if err := a.object(r); err != nil {
			return err
		}
	} else {
		a.printf("%-12s %s\n", "namespace", r.Namespace)
		for _, log := range []struct {
			name string
			logAppended
		}{{"verdicts", r.Verdicts}, {"events", r.Events}} {
			a.printf("%-12s %s, %d of them just now", log.name, entriesText(log.Entries), log.Appended)
			if isWitnessed {
				a.printf("; %d witnessed", log.Witnessed)
			}
			a.printf("\n")
			for _, w := range log.Answers {
				if w.Error != "" {
					a.printf("  %s\n", w.Error)
				} else if log.Witnessed < log.Entries {
					a.printf("  witness %s has cosigned\n", w.Name)
				}
			}
		}
		for _, f := range r.Findings {
			a.printf("\n%s\n", f)
		}
		if len(r.Findings) > 0 {
			a.printf("Nothing is signed until that is settled: `ktaudit log check` says more, and docs/verdict-log.md what to do. If you changed the key, put the old public key under verdict_log.former_keys.\n")
		}
		if disputed {
			a.printf("\nA witness knows another log than this store has: `ktaudit incidents` lists what that comes to, and docs/verdict-log.md says what to do.\n")
		}
		if lacks && !disputed && len(r.Findings) == 0 {
			a.printf("\nToo few witnesses have cosigned. Run the command again, or leave that to a scheduler.\n")
		}
	}
	if lacks || disputed || len(r.Findings) > 0 {
		return errFound
	}
	return nil
}

type logAbsentCmd struct {
	storedFlags
	Epoch  uint64 `arg:"" help:"Epoch that the log never published."`
	By     string `group:"output" required:"" placeholder:"NAME" help:"Who says so, for the record."`
	Reason string `group:"output" required:"" placeholder:"TEXT" help:"Why that is known, for the record."`
}

func (logAbsentCmd) Help() string {
	return `The verdict log stands still at an epoch without a verdict, since its entries are in the order of epochs. This command records that
the epoch was never published, and the log goes on behind it. It cannot be taken back. It accuses nobody: if the epoch is
published after all it is audited, and the log of events says so.

An epoch beyond the newest verdict is refused: it may yet be published.

Examples:
  ktaudit log absent 1017 --config ktaudit.yaml --by "R. Ivanov" --reason "the operator says that it failed to publish it"
  ktaudit log absent 1017 --config ktaudit.yaml --namespace example --by ops --reason "see ticket 4711"`
}

// Run records that an epoch was never published.
func (c logAbsentCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespace, err := c.log("log absent")
	if err != nil {
		return err
	}
	if !settings.VerdictLog.IsOn() {
		return errNoVerdictLog
	}
	if err := errors.Join(checkEpochs([]uint64{c.Epoch}), verdict.CheckOverruling(c.By, c.Reason)); err != nil {
		return err
	}
	store, err := c.openWritable(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	last, err := witnessing.LastJudged(ctx, store, namespace.Namespace)
	if err != nil {
		return err
	}
	if c.Epoch > last { // what cannot be taken back is not to be a slip of the pen
		return fmt.Errorf("epoch %d of %s is beyond the newest verdict, on epoch %d, and may yet be published: nothing is recorded", c.Epoch, namespace.Namespace, last)
	}
	absence, err := transparency.Open(store, namespace.Namespace, transparency.Verdicts).PutAbsence(ctx, c.Epoch, c.By, c.Reason, time.Now())
	if err != nil {
		return err
	}
	if a.json {
		return a.object(absence)
	}
	if absence.By != c.By || absence.Reason != c.Reason {
		a.printf("Epoch %d is on record as never published already.\n", c.Epoch)
		return nil
	}
	a.printf("Epoch %d is on record as never published. The verdict log goes on with the next round of a scheduler, or with `ktaudit log append`.\n", c.Epoch)
	return nil
}
