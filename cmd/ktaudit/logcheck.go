package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/witnessing"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/selfcheck"
)

// maxCheckpointBytes bounds a file with a checkpoint, which may have a hundred signatures.
const maxCheckpointBytes = 64 << 10

type logCheckCmd struct {
	storedFlags
	Checkpoint []string `group:"store" type:"existingfile" placeholder:"FILE" help:"Also check that the log extends the checkpoint in this file, which somebody kept; repeatable."`
}

func (logCheckCmd) Help() string {
	return `Reads every tile and entry of the verdict log, and every verdict, and checks that they are what the newest checkpoint says, that it
extends the newest witnessed one, and that seals and history agree with it. With --checkpoint it also checks that it extends a
checkpoint that you, or somebody else, kept: the file "checkpoint" of the log, or the checkpoint in a proof. It writes nothing
and asks no witness; ktaudit seal --check does both.

Exits with 1 if something was found: then somebody changed the audit store, or the configuration has another key.
docs/verdict-log.md says what each finding means.

Examples:
  ktaudit log check --config ktaudit.yaml
  ktaudit log check --config ktaudit.yaml --namespace example --checkpoint kept-in-march --json`
}

// checkedLog is what checking the verdict log of a namespace came to.
type checkedLog struct {
	Origin string `json:"origin"`
	// Entries and Events are how many entries the two logs have, as signed; Witnessed and
	// WitnessedEvents how many of them enough witnesses have cosigned.
	Entries         int64               `json:"entries"`
	Witnessed       int64               `json:"witnessed"`
	Events          int64               `json:"events"`
	WitnessedEvents int64               `json:"witnessed_events"`
	Findings        []selfcheck.Finding `json:"findings,omitempty"`
	// Disagreements are what witnesses say that know another log; Unanswered those that could not
	// be asked, and why.
	Disagreements []string `json:"disagreements,omitempty"`
	Unanswered    []string `json:"unanswered,omitempty"`
	// Note says that there is nothing to check, or that not everything could be checked.
	Note string `json:"note,omitempty"`

	first  uint64 // epoch of the first entry
	asked  bool   // there are witnesses
	report selfcheck.Report
}

// isWrong reports whether anything was found, or there was nothing to check: a log that was removed
// must not look as if all were well.
func (c checkedLog) isWrong() bool { return len(c.Findings)+len(c.Disagreements) > 0 || c.Note != "" }

// check holds the store against the verdict log of a namespace: all of it, or with a bounded number
// of reads. older are checkpoints that somebody kept.
func (v *verdictLog) check(ctx context.Context, store *auditstore.Store, namespace string, full bool, older [][]byte, progress func(done, total int64)) (checkedLog, error) {
	c := checkedLog{Origin: v.origin(namespace, transparency.Verdicts), asked: len(v.witnesses.Members) > 0}
	verdicts, events, err := v.both(store, namespace)
	if err != nil {
		return c, err
	}
	if c.Entries, c.Witnessed, err = sizes(ctx, verdicts); err == nil {
		c.Events, c.WitnessedEvents, err = sizes(ctx, events)
	}
	if err != nil {
		return c, err
	}
	checker := selfcheck.Checker{Store: store, Namespace: namespace, Verdicts: verdicts.Trust(), Events: events.Trust(), Full: full, Progress: progress}
	for _, kept := range older {
		if isOf(kept, v.origin(namespace, transparency.Events)) {
			checker.Events.Older = append(checker.Events.Older, kept)
		} else {
			checker.Verdicts.Older = append(checker.Verdicts.Older, kept)
		}
	}
	c.report, err = checker.Check(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		c.Note = "the verdict log is empty. If it was never kept, a scheduler or `ktaudit log append` begins it; if it was, somebody removed it: " +
			"restore " + namespace + "/tlog/ before either begins another"
		if len(older) > 0 {
			c.Findings = append(c.Findings, selfcheck.Finding{
				Kind: selfcheck.OlderState, Log: transparency.Verdicts, Text: "the store has no verdict log, and a checkpoint of one was kept",
			})
		}
		return c, nil
	}
	if c.Findings = c.report.Findings; err != nil && len(c.Findings) == 0 {
		return c, err
	}
	if err != nil { // what was found stands
		c.Note = fmt.Sprintf("not everything could be checked: %v", err)
	}
	if c.first, err = verdicts.First(ctx); errors.Is(err, transparency.ErrNoCheckpoint) {
		err = nil
	}
	return c, err
}

// isOf reports whether a checkpoint is of an origin, by its first line.
func isOf(checkpoint []byte, origin string) bool {
	return bytes.HasPrefix(checkpoint, []byte(origin+"\n"))
}

// sizes returns how many entries a log has, and how many of them are witnessed.
func sizes(ctx context.Context, log witnessing.Log) (entries, witnessed int64, err error) {
	c, err := log.Newest(ctx)
	if err == nil {
		entries = c.N
		c, err = log.Log.Witnessed(ctx)
	}
	if err == nil && log.Witnessed != nil && c.Verify(log.Witnessed) == nil {
		witnessed = c.N
	}
	if errors.Is(err, transparency.ErrNoCheckpoint) || auditstore.IsUnreadable(err) { // which checking says
		err = nil
	}
	return entries, witnessed, err
}

// Run checks the logs of one namespace after the other.
func (c logCheckCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("log check")
	if err != nil {
		return err
	}
	if err := c.forOneLog(settings, namespaces, flagsGiven(map[string]bool{"--checkpoint": len(c.Checkpoint) > 0})); err != nil {
		return err
	}
	own, err := needVerdictLog(settings, false)
	if err != nil {
		return err
	}
	var older [][]byte
	for _, file := range c.Checkpoint {
		data, err := readFile(ctx, file, maxCheckpointBytes)
		if err == nil && len(data) > maxCheckpointBytes {
			err = fmt.Errorf("%s is larger than %d bytes", file, maxCheckpointBytes)
		}
		if err != nil {
			return fmt.Errorf("--checkpoint: %w", err)
		}
		older = append(older, data)
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return a.eachLog(namespaces, func(n config.Namespace) error {
		checked, err := own.check(ctx, store, n.Namespace, true, older, a.followChecking)
		a.bars.finish()
		if err != nil {
			return err
		}
		if a.json {
			err = a.object(struct {
				Namespace string `json:"namespace"`
				checkedLog
			}{n.Namespace, checked})
		} else {
			a.printf("%-16s %s\n", "namespace", n.Namespace)
			a.printCheckedLog(checked)
		}
		if err == nil && checked.isWrong() {
			err = errFound
		}
		return err
	})
}

// followChecking shows how far checking a verdict log is.
func (a *app) followChecking(done, total int64) {
	a.bars.follow("checking", "entries", uint64(done), uint64(total))
}

// printCheckedLog prints what checking a verdict log came to.
func (a *app) printCheckedLog(c checkedLog) {
	line := func(title, format string, args ...any) { a.printf("%-16s %s\n", title, fmt.Sprintf(format, args...)) }
	line("verdict log", "%s", c.Origin)
	if c.Note != "" {
		line("", "%s", c.Note)
	}
	if c.asked {
		line("entries", "%d, %d of them witnessed", c.Entries, c.Witnessed)
		line("events", "%d, %d of them witnessed", c.Events, c.WitnessedEvents)
	} else {
		line("entries", "%d; no witnesses are configured", c.Entries)
		line("events", "%d", c.Events)
	}
	line("findings", "%d", len(c.Findings)+len(c.Disagreements))
	for i, f := range c.Findings {
		if i == maxListed {
			a.printf("and %d more: use --json to list them all\n", len(c.Findings)-maxListed)
			break
		}
		a.printf("%s\n", f.Text)
	}
	for _, d := range c.Disagreements {
		a.printf("%s\n", d)
	}
	for _, u := range c.Unanswered {
		a.printf("no answer that counts: %s\n", u)
	}
	if len(c.Findings)+len(c.Disagreements) > 0 {
		a.printf("The audit store does not hold what this auditor's verdict log signed: docs/verdict-log.md says what to do.\n")
	}
}

// checkWitnessed is check with all that is on record and with the witnesses, who may know a larger
// log than a store that was put back. What is found is raised.
func (v *verdictLog) checkWitnessed(ctx context.Context, a *app, store *auditstore.Store, namespace string) (checkedLog, error) {
	c, err := v.check(ctx, store, namespace, true, nil, a.followChecking)
	a.bars.finish()
	if err != nil {
		return c, err
	}
	incidents := incident.Recorder{Store: store, Log: a.log.With().Str("namespace", namespace).Logger()}
	verdicts, events, err := v.both(store, namespace)
	if err == nil {
		err = witnessing.RaiseFindings(ctx, incidents, namespace, verdicts, events, c.report)
	}
	if err != nil || verdicts.Witnesses == nil {
		return c, err
	}
	for _, log := range []witnessing.Log{verdicts, events} {
		newest, err := log.Newest(ctx)
		if errors.Is(err, transparency.ErrNoCheckpoint) {
			continue
		}
		if err != nil {
			return c, err
		}
		_, answers := witnessing.Ask(ctx, log, newest)
		other, ahead, err := witnessing.Disagreements(ctx, log, newest, answers)
		if err != nil {
			return c, err
		}
		for _, answer := range answers {
			if answer.Err != nil && !witnessing.IsDisagreement(answer.Err) {
				c.Unanswered = append(c.Unanswered, answer.Err.Error())
			}
		}
		for _, d := range append(other, ahead...) {
			c.Disagreements = append(c.Disagreements, d.String())
			if err := witnessing.RaiseDisagreement(ctx, incidents, namespace, log.Log, d); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}
