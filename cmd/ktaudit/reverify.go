package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/verdict"
)

type reverifyCmd struct {
	configFlags
	auditFlags
	rangeFlags
	Epochs []uint64 `arg:"" optional:"" name:"epoch" help:"Epochs to audit again."`
	Sample int      `group:"log" placeholder:"N" help:"Audit this many random epochs, from the range --from to --to or from all."`
	First  uint64   `group:"log" placeholder:"EPOCH" help:"First epoch of the audit. The signed digest of the epoch before it is not required. By default ${default_first}."`
}

func (reverifyCmd) Help() string {
	return `Audits epochs that have a verdict once more, reading them from the log directory, and compares the result with the verdict
on record. The verdict itself never changes. If the two contradict each other, the command stores the result and the batch
as evidence, raises an alert and exits with 1; otherwise it notes at most that a batch which was written anew was audited. Use the keys and limits of the original audit.

The exit status is also 1 if an epoch has no verdict. Otherwise it is 2 if an epoch could not be audited again, for example
because the log no longer has it. Alerts go to the targets of the configuration file; without one they wait in the audit store for a
scheduler that has targets.

Examples:
  ktaudit reverify --config ktaudit.yaml --namespace example --sample 1000
  ktaudit reverify --namespace example --log-directory ./log --audit-store ./audit 17 25
  ktaudit reverify --namespace example --log-directory ./log --audit-store ./audit --from 1 --to 1000 --json`
}

// Run audits the epochs again.
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
	r := reverified{app: a}
	return c.withAuditor(ctx, a, settings, cmp.Or(c.First, namespace.First), func(auditor *audit.Auditor) error {
		err := auditor.Reverify(ctx, audit.Reverification{
			Epochs: c.Epochs, From: c.From, To: c.To, Sample: c.Sample,
			Concurrency: c.Concurrency,
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
		return errors.New("epoch numbers exclude --from, --to and --sample: give one or the other")
	case len(c.Epochs) == 0 && !c.given() && c.Sample == 0:
		return errors.New("no epochs given: give their numbers, --from and --to, or --sample")
	}
	if err := checkEpochs(c.Epochs); err != nil {
		return err
	}
	return c.checkBounds()
}

// reverified counts and prints the results.
type reverified struct {
	*app
	asBefore, contradicted, withoutVerdict, failed int
}

// The results of an epoch. They are values of "result" in JSON.
const (
	asBefore       = "as before"
	contradicted   = "contradicted"
	withoutVerdict = "no verdict"
	failed         = "not looked at"
)

// visit records one epoch. JSON lists every epoch, text only those that need attention.
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

// finish prints the counts and returns the command's error.
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
		return fmt.Errorf("%d of %d epochs could not be audited again: see the lines above", r.failed, r.failed+r.asBefore)
	case r.asBefore == 0: // nothing was shown
		r.log.Warn().Msg("nothing to audit again: no epoch of the range has a verdict")
		return errFound
	}
	return nil
}
