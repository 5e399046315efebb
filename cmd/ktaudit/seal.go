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
	Check bool `group:"store" help:"Hold what is sealed against the verdicts instead. Reads all of them."`
}

func (sealCmd) Help() string {
	return `A shard is a thousand epochs. Once all of them have a verdict, a seal can stand for them: it holds the hash of each verdict and
sums them up, so that status reads millions of epochs at once. Schedulers and run seal by themselves; this is for audits that
have neither. To seal again what is sealed changes nothing.

With --check it reads the verdicts that are sealed. Where one is gone or is another one, that raises an alert, and the exit
status is 1. Bring the object back from a backup. If there is none, remove what is wrong, {namespace}/seals/ of the shard and
{namespace}/history/, and audit the range again; the alert stays on record. The exit status is 1, too, for a log without any
verdict.

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
	targets, err := newAlertTargets(settings.Alerts)
	if err != nil {
		return err
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
	return targets.sendAlerts(ctx, store, namesOf(namespaces), nil, a.log, func() error { return c.each(ctx, a, store, namespaces) })
}

func (c sealCmd) each(ctx context.Context, a *app, store *auditstore.Store, namespaces []config.Namespace) error {
	var found error
	for i, n := range namespaces {
		if i > 0 && !a.json {
			a.printf("\n")
		}
		sealer := seal.Sealer{Store: store, Namespace: n.Namespace, Log: a.log}
		one := c.seal
		if c.Check {
			one = c.check
		}
		err := one(ctx, a, sealer)
		if errors.Is(err, errFound) {
			found = err
		} else if err != nil {
			return err
		}
	}
	return found
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
		a.log.Error().Err(err).Msg("sealed history is not what it was")
		err = errFound
	}
	if a.json {
		return errors.Join(err, a.object(struct {
			Namespace string `json:"namespace"`
			seal.Counts
		}{sealer.Namespace, counts}))
	}
	a.printf("%-16s %s\n", "namespace", sealer.Namespace)
	a.printf("%-16s %d, %d of them now\n", "shards sealed", counts.AlreadySealed+counts.Sealed, counts.Sealed)
	a.printf("%-16s %d\n", "shards open", counts.Open)
	return err
}

// check holds what is sealed of one log against its verdicts. It returns errFound if something differs, or if there are no verdicts:
// whoever mistypes a namespace is not to be told that all is well.
func (c sealCmd) check(ctx context.Context, a *app, sealer seal.Sealer) error {
	defer a.bars.finish()
	sealer.Progress = func(done, total uint64) { a.bars.follow("checking", "shards", done, total) }
	result, err := sealer.Check(ctx, c.From, c.To)
	a.bars.finish()
	if err != nil {
		return err
	}
	if a.json {
		err = a.object(struct {
			Namespace string `json:"namespace"`
			seal.Check
		}{sealer.Namespace, result})
	} else {
		a.printf("%-16s %s\n", "namespace", sealer.Namespace)
		a.printf("%-16s %d\n", "shards checked", result.Checked)
		a.printf("%-16s %d\n", "not as sealed", len(result.Mismatches))
		for _, m := range result.Mismatches {
			a.printf("shard %d, epochs %d to %d: %s\n", m.Shard, m.From, m.To, m.Detail)
		}
	}
	if err == nil && len(result.Mismatches) > 0 {
		err = errFound
	}
	if err != nil || result.Checked > 0 {
		return err
	}
	shards, err := sealer.Store.Shards(ctx, sealer.Namespace, 0, verdict.MaxEpoch)
	if err == nil && len(shards) == 0 {
		a.log.Warn().Str("namespace", sealer.Namespace).Msg("nothing to check: no epoch has a verdict")
		err = errFound
	}
	return err
}
