package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/overrule"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

type overruleCmd struct {
	configFlags
	auditFlags
	Epoch  uint64 `arg:"" help:"Epoch whose verdict came of a mistake of your own."`
	Reason string `group:"output" required:"" placeholder:"TEXT" help:"Why, for the record and the alert."`
	By     string `group:"output" required:"" placeholder:"NAME" help:"Who overrules, for the record and the alert."`
	First  uint64 `group:"log" placeholder:"EPOCH" help:"First epoch of the audit. The signed digest of the epoch before it is not required. By default ${default_first}."`
}

func (overruleCmd) Help() string {
	return `Audits an epoch that has a verdict anew, under the present configuration, and records the result beside that verdict. It is for
verdicts that came of a mistake of the operator's own, such as a wrong verifying key: correct the configuration first. Both
verdicts stay on record; status, head and export follow the newer one and say that the epoch was overruled. An overruling is
an alert of its own. Where what was rejected is verified now, the incident of the rejection is acknowledged in your name.

Exits with 1 if the epoch is rejected again, and with 2 if it could not be judged: then nothing was recorded.

Examples:
  ktaudit overrule 331 --config ktaudit.yaml --namespace example --by "R. Ivanov" --reason "wrong key configured on 3 May"
  ktaudit overrule 331 --namespace example --log-directory ./log --audit-store ./audit --by ops --reason "limits were too low"`
}

// Run overrules the verdict on one epoch.
func (c overruleCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespace, err := c.loadOne(c.Namespace)
	if err != nil {
		return err
	}
	c.auditFlags.fill(settings, namespace)
	if err := errors.Join(c.complete("overrule"), checkEpochs([]uint64{c.Epoch}), verdict.CheckOverruling(c.By, c.Reason)); err != nil {
		return err
	}
	return c.withAuditor(ctx, a, settings, cmp.Or(c.First, namespace.First), func(auditor *audit.Auditor) error {
		o, err := overrule.Overrule(ctx, auditor, c.Epoch, c.By, c.Reason)
		if err != nil {
			return err
		}
		return a.printOverruling(o)
	})
}

func (a *app) printOverruling(o verdict.Overruling) error {
	if a.json {
		if err := a.object(o); err != nil {
			return err
		}
	} else {
		a.printf("epoch %d overruled: it was %s, and is %s now\n", o.Epoch,
			outcomeText(o.Overruled.Outcome, o.Overruled.Reason), outcomeText(o.Verdict.Outcome, o.Verdict.Reason))
		if o.Verdict.Detail != "" {
			a.printf("  %s\n", o.Verdict.Detail)
		}
		a.printf("Both verdicts stay on record.\n")
	}
	if o.Verdict.Outcome != verdict.Verified {
		return errFound
	}
	return nil
}

// printOverruled prints the overruled epochs of a status.
func (a *app) printOverruled(s report.Status) {
	for i, o := range s.Overruled {
		if i == 0 {
			a.printf("\n")
		}
		if i == maxListed {
			a.printf("and %d more overruled: use --json to list up to %d\n", s.OverruledCount-maxListed, report.MaxListed)
			break
		}
		a.printf("epoch %d overruled by %s: it was %s, and is %s now\n  %s\n", o.Epoch, o.By, outcomeText(o.Was, o.Reason), o.Outcome, o.Why)
	}
}

func outcomeText(outcome string, reason verdict.Reason) string {
	if reason == "" {
		return outcome
	}
	return outcome + " (" + string(reason) + ")"
}
