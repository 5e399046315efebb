package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/verdict"
)

type sealCmd struct {
	storedFlags
	rangeFlags
	Check bool `group:"store" help:"Check existing seals against the verdicts instead. Reads every verdict."`
}

func (sealCmd) Help() string {
	return `A shard is a thousand epochs. Once all of them have a verdict, the shard can be sealed: the seal holds the hash of each
verdict and a summary, so that status can read millions of epochs at once. scheduler and run seal shards by themselves; use
this command for audits without them. Sealing a sealed shard again changes nothing.

With --check the command reads every sealed verdict. If one is missing or differs from its seal, it raises an alert and exits
with 1. Restore the object from a backup. Without a backup, remove the wrong object, the shard's seal in {namespace}/seals/
and {namespace}/history/, and audit the range again; the alert stays on record. The exit status is also 1 if the log has no
verdicts. Where a verdict log is configured, --check holds all of the store against its newest witnessed checkpoint, too, and asks
the witnesses whether they know a later one; whatever differs is an alert.

Examples:
  ktaudit seal --config ktaudit.yaml
  ktaudit seal --namespace example --audit-store ./audit
  ktaudit seal --namespace example --audit-store ./audit --check --from 1 --to 100000 --json`
}

// Run seals, or checks, one log after the other.
func (c sealCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("seal")
	if err != nil {
		return err
	}
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	var own *verdictLog
	if c.Check {
		if own, err = openVerdictLog(settings, false); err != nil {
			return err
		}
	}
	if err := c.checkBounds(); err != nil {
		return err
	}
	c.From, c.To = max(c.From, 1), cmp.Or(c.To, verdict.MaxEpoch)
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return targets.sendAlerts(ctx, store, namesOf(namespaces), nil, a.log, func() error { return c.each(ctx, a, store, own, namespaces) })
}

func (c sealCmd) each(ctx context.Context, a *app, store *auditstore.Store, own *verdictLog, namespaces []config.Namespace) error {
	one := c.seal
	if c.Check {
		one = func(ctx context.Context, a *app, sealer seal.Sealer) error { return c.check(ctx, a, sealer, own) }
	}
	return a.eachLog(namespaces, func(n config.Namespace) error {
		return one(ctx, a, seal.Sealer{Store: store, Namespace: n.Namespace, Log: a.log})
	})
}

// seal seals the full shards of one log.
func (c sealCmd) seal(ctx context.Context, a *app, sealer seal.Sealer) error {
	defer a.bars.finish()
	sealer.Progress = func(done, total uint64) { a.bars.follow("sealing", "shards", done, total) }
	counts, err := sealer.Seal(ctx, c.From, c.To)
	a.bars.finish()
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, seal.ErrMismatch) {
		a.log.Error().Err(err).Msg("sealed verdicts have changed: run `ktaudit seal --check` to see which")
		err = errFound
	}
	if a.json {
		return errors.Join(err, a.object(struct {
			Namespace string `json:"namespace"`
			seal.Counts
		}{sealer.Namespace, counts}))
	}
	a.printf("%-16s %s\n", "namespace", sealer.Namespace)
	a.printf("%-16s %d, %d of them just now\n", "shards sealed", counts.AlreadySealed+counts.Sealed, counts.Sealed)
	a.printf("%-16s %d\n", "shards open", counts.Open)
	return err
}

// check compares the seals of one log with its verdicts. It returns errFound if something differs,
// and also if there are no verdicts: a mistyped namespace must not look as if all were well.
func (c sealCmd) check(ctx context.Context, a *app, sealer seal.Sealer, own *verdictLog) error {
	defer a.bars.finish()
	sealer.Progress = func(done, total uint64) { a.bars.follow("checking", "shards", done, total) }
	result, err := sealer.Check(ctx, c.From, c.To)
	a.bars.finish()
	var logged *checkedLog
	if err == nil && own != nil {
		var checked checkedLog
		checked, err = own.checkWitnessed(ctx, a, sealer.Store, sealer.Namespace)
		logged = &checked
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.object(struct {
			Namespace string `json:"namespace"`
			seal.Check
			VerdictLog *checkedLog `json:"verdict_log,omitempty"`
		}{sealer.Namespace, result, logged})
	} else {
		a.printf("%-16s %s\n", "namespace", sealer.Namespace)
		a.printf("%-16s %d\n", "shards checked", result.Checked)
		a.printf("%-16s %d\n", "mismatches", len(result.Mismatches))
		for _, m := range result.Mismatches {
			a.printf("shard %d, epochs %d to %d: %s\n", m.Shard, m.From, m.To, m.Detail)
		}
		if logged != nil {
			a.printCheckedLog(*logged)
		}
	}
	if err == nil && (len(result.Mismatches) > 0 || logged != nil && logged.isWrong()) {
		err = errFound
	}
	if err != nil || result.Checked > 0 {
		return err
	}
	shards, err := sealer.Store.Shards(ctx, sealer.Namespace, 0, verdict.MaxEpoch)
	if err == nil && len(shards) == 0 {
		a.log.Warn().Str("namespace", sealer.Namespace).Msg("nothing to check: no epoch has a verdict; is the namespace right?")
		err = errFound
	}
	return err
}
