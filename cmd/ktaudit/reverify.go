package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/verdict"
)

type reverifyCmd struct {
	configFlags
	auditFlags
	rangeFlags
	Epochs []uint64 `arg:"" optional:"" name:"epoch" help:"Epochs to look at again."`
	Sample int      `group:"log" placeholder:"N" help:"Look at so many epochs, chosen by chance, from --from to --to or of all."`
	First  uint64   `group:"log" placeholder:"EPOCH" help:"Epoch the audit started at: the signed digest of the one before it is not waited for. By default 1."`
}

func (reverifyCmd) Help() string {
	return `Audits epochs that have a verdict once more, from the log directory, and holds what it finds against the verdict on record,
which stays as it is. Nothing is written, unless the two cannot both be right: then what was found is kept, with the batch
that shows it, an alert is raised, and the exit status is 1. It is 1, too, for epochs without a
verdict, and 2 if there were none of these, but epochs that could not be looked at, such as those that the log no longer
has. Give the keys and limits that the epochs were audited with. The alert goes to the targets of the configuration file, or
without one waits for a scheduler that has one.

Examples:
  ktaudit reverify --config ktaudit.yaml --namespace example --sample 1000
  ktaudit reverify --namespace example --log-directory ./log --audit-store ./audit 17 25
  ktaudit reverify --namespace example --log-directory ./log --audit-store ./audit --from 1 --to 1000 --json`
}

// Run looks again.
func (c reverifyCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespace, err := c.loadOne(c.Namespace)
	if err != nil {
		return err
	}
	c.auditFlags.fill(settings, namespace)
	if err := c.complete("reverify"); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	targets, err := newAlertTargets(settings.Alerts)
	if err != nil {
		return err
	}
	opened, err := c.open(ctx, a, cmp.Or(c.First, namespace.First), audit.NewBudget(int64(c.Memory)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	r := reverified{app: a}
	return targets.sendAlerts(ctx, opened.auditor.Store, []string{c.Namespace}, nil, a.log, func() error {
		err := opened.auditor.Reverify(ctx, audit.Reverification{
			Epochs: c.Epochs, From: c.From, To: c.To, Sample: c.Sample,
			Concurrency: cmp.Or(c.Concurrency, 4*runtime.GOMAXPROCS(0)),
		}, r.visit)
		if err != nil {
			return err
		}
		return r.finish()
	})
}

func (c reverifyCmd) check() error {
	switch {
	case c.Sample < 0:
		return errors.New("--sample must be at least 1")
	case len(c.Epochs) > 0 && (c.given() || c.Sample > 0):
		return errors.New("which epochs? Give their numbers, or --from, --to and --sample")
	case len(c.Epochs) == 0 && !c.given() && c.Sample == 0:
		return errors.New("which epochs? Give their numbers, --from and --to, or --sample")
	}
	if err := checkEpochs(c.Epochs); err != nil {
		return err
	}
	return c.checkBounds()
}

// reverified counts and prints what new looks came to.
type reverified struct {
	*app
	asBefore, contradicted, withoutVerdict, failed int
}

// What a new look may come to.
const (
	asBefore       = "as before"
	contradicted   = "contradicted"
	withoutVerdict = "no verdict"
	failed         = "not looked at"
)

// visit takes in one epoch. Whoever reads JSON wants to know of every one.
func (r *reverified) visit(epoch uint64, found verdict.Verdict, err error) {
	result := r.count(err)
	switch {
	case r.json:
		line := struct {
			Epoch  uint64           `json:"epoch"`
			Result string           `json:"result"`
			Error  string           `json:"error,omitempty"`
			Found  *verdict.Verdict `json:"found,omitempty"`
		}{Epoch: epoch, Result: result}
		if err != nil {
			line.Error = err.Error()
		}
		if result == asBefore || result == contradicted {
			line.Found = &found
		}
		_ = r.object(line) // a.out remembers an error
	case err != nil:
		r.printf("%s: %v\n", result, err)
	}
}

func (r *reverified) count(err error) (result string) {
	_, contradicts := errors.AsType[*audit.ContradictionError](err)
	switch {
	case err == nil:
		r.asBefore++
		return asBefore
	case contradicts:
		r.contradicted++
		return contradicted
	case errors.Is(err, auditstore.ErrNotFound):
		r.withoutVerdict++
		return withoutVerdict
	}
	r.failed++
	return failed
}

// finish prints the counts and returns what the command ends with.
func (r *reverified) finish() error {
	if !r.json {
		r.printf("%-14s %d\n", asBefore, r.asBefore)
		r.printf("%-14s %d\n", contradicted, r.contradicted)
		if r.withoutVerdict > 0 {
			r.printf("%-14s %d\n", withoutVerdict, r.withoutVerdict)
		}
		if r.failed > 0 {
			r.printf("%-14s %d\n", failed, r.failed)
		}
	}
	switch {
	case r.contradicted+r.withoutVerdict > 0:
		return errFound
	case r.failed > 0:
		return fmt.Errorf("%d of %d epochs could not be looked at again", r.failed, r.failed+r.asBefore)
	case r.asBefore == 0: // nothing was shown
		r.log.Warn().Msg("nothing to look at again: no epoch in question has a verdict")
		return errFound
	}
	return nil
}
