package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

type chainCmd struct {
	storedFlags
	logDirectoryFlag
	rangeFlags
	MaxRequests int `group:"limits" placeholder:"N" help:"Maximum number of listing requests to the log directory, of a thousand names each. By default ${default_chain_requests}."`
}

func (chainCmd) Help() string {
	return `Lists all names of a log, a thousand in a request, and checks that each epoch has one batch and begins with the digest that the
one before ends with. It reads no batch: that the names continue each other does not say that the batches are valid.

The names are put on record. A name on record that is replaced, joined by another or gone in a later walk is kept as evidence
and raises an alert; it counts as gone only after several more looks. A walk that was killed can simply be started again. With
--from and --to the whole log is walked and recorded, and the report is on this range.

In the report, unnamed epochs have no batch, doubled ones several, and unchained ones do not continue the epoch before. Far names
are too far from all others to be history. Strays are keys that are no batch, which says nothing against the log.

Exits with 1 if an epoch is unnamed, doubled or unchained, if there are far names, or if names on record have changed. Exits with
2 if a log could not be walked to its end; of several logs the others are walked all the same.

Examples:
  ktaudit chain --config ktaudit.yaml
  ktaudit chain --preset whatsapp-v2 --audit-store ./audit
  ktaudit chain --namespace example --log-directory ./log --audit-store ./audit --json`
}

// Run walks one log after the other.
func (c chainCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("chain")
	if err == nil {
		err = c.forOneLog(settings, namespaces, flagsGiven(map[string]bool{"--log-directory": c.LogDirectory != ""}))
	}
	if err != nil {
		return err
	}
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	if err := refuseNegative("max-requests", c.MaxRequests); err != nil {
		return err
	}
	store, err := c.openWritable(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return targets.sendAlerts(ctx, store, namesOf(namespaces), nil, a.log, func() error {
		var found, failed error
		reported := false
		for _, n := range namespaces {
			err := c.one(ctx, a, store, n, reported)
			reported = reported || err == nil || errors.Is(err, errFound)
			switch {
			case errors.Is(err, errFound):
				found = err
			case err != nil && len(namespaces) > 1 && ctx.Err() == nil:
				// A log that does not answer costs the others nothing.
				failed = errors.Join(failed, fmt.Errorf("%s: %w", n.Namespace, err))
			case err != nil:
				return err
			}
		}
		return cmp.Or(failed, found)
	})
}

// one walks one log, of which the report may come after another.
func (c chainCmd) one(ctx context.Context, a *app, store *auditstore.Store, n config.Namespace, another bool) (err error) {
	if c.LogDirectory != "" {
		n.LogDirectory = c.LogDirectory
	}
	c.rangeFlags.fill(n)
	if err := errors.Join(c.checkBounds(), missing("chain", "--log-directory=URL", n.LogDirectory)); err != nil {
		return err
	}
	log, err := blobstore.OpenBucket(ctx, n.LogDirectory)
	if err != nil {
		return fmt.Errorf("--log-directory: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	settings := newChainConfig(n, log, store, a.log.With().Str("namespace", n.Namespace).Logger())
	if c.MaxRequests > 0 {
		settings.MaxRequests = c.MaxRequests
	}
	settings.Progress = func(done, total uint64) { a.bars.follow("walking", "names", done, max(done, total)) }
	walker, err := chain.New(settings)
	if err != nil {
		return err
	}
	defer a.bars.finish()
	result, err := walker.Walk(ctx)
	a.bars.finish()
	if err != nil {
		return &unfinishedError{err, fmt.Sprintf("requests so far: %d; what was recorded stays, and the same command lists the names again", result.Requests)}
	}
	if another && !a.json {
		a.printf("\n")
	}
	return a.reportChain(n, report.ChainStatusOf(result.Chain, c.From, c.To), result)
}

// newChainConfig is how the names of a log are walked.
func newChainConfig(n config.Namespace, log *blob.Bucket, store *auditstore.Store, logger zerolog.Logger) chain.Config {
	c := chain.Config{
		Namespace: n.Namespace, Log: log, Parallel: chain.DefaultParallel, Store: store, First: n.First,
		MaxRequests: chain.DefaultMaxRequests, Rechecks: chain.DefaultRechecks, Logger: logger,
	}
	if !blobstore.IsReadOnly(n.LogDirectory) {
		return c // no content network keeps what it answered
	}
	c.RecheckPause = chain.DefaultRecheckPause
	// A listing of a part of a bucket begins after the keys of the bucket, not of the part.
	if !strings.Contains(n.LogDirectory, "prefix=") {
		c.After = s3list.After
	}
	return c
}

// reportChain prints what a walk found, and returns errFound unless all is well.
func (a *app) reportChain(n config.Namespace, s report.ChainStatus, r chain.Result) error {
	good := s.Good() && len(r.Changes) == 0 && r.Unconfirmed == 0
	if a.json {
		err := a.object(struct {
			Namespace string `json:"namespace"`
			Requests  int    `json:"requests"`
			report.ChainStatus
			Changes     []chain.Change `json:"changes,omitempty"`
			Unconfirmed int            `json:"unconfirmed,omitempty"`
		}{n.Namespace, r.Requests, s, r.Changes, r.Unconfirmed})
		if err != nil {
			return err
		}
	} else {
		a.line("namespace", "%s", n.Namespace)
		a.line("log", "%s", n.LogDirectory)
		if s.To == 0 {
			a.line("epochs", "the log names no epoch")
		} else {
			a.line("epochs", "%s", rangeText(epochset.Range{From: s.From, To: s.To}))
		}
		a.printChain(&s)
		a.line("requests", "%d", r.Requests)
		a.printNameFaults(n.Namespace, &s)
		if len(r.Changes) > 0 || r.Unconfirmed > 0 {
			a.printf("\n")
		}
		for i, c := range r.Changes {
			if i == maxListed {
				a.printf("and more changes: use --json to list them\n")
				break
			}
			a.printf("epoch %d: the name on record %s; see %s/evidence/\n", c.Epoch, c.Text(), n.Namespace)
		}
		if r.Unconfirmed > 0 {
			a.printf("%d shards: names on record were not listed, but their absence is not confirmed. Walk again later.\n", r.Unconfirmed)
		}
	}
	if !good {
		return errFound
	}
	return nil
}

// printChain prints what is on record of names; nothing if they were never walked.
func (a *app) printChain(s *report.ChainStatus) {
	if s == nil {
		return
	}
	a.line("chained", "%s", countText(s.ChainedCount, plainRanges(s.Chained)))
	for _, l := range []struct {
		title  string
		ranges []verdict.ChainRange
	}{{"unnamed", s.Gaps}, {"doubled", s.Doubles}} {
		if len(l.ranges) > 0 {
			a.line(l.title, "%s", countText(verdict.CountEpochs(l.ranges), plainRanges(l.ranges)))
		}
	}
	if len(s.Breaks) > 0 {
		var at []epochset.Range
		for _, epoch := range s.Breaks {
			at = append(at, epochset.Range{From: epoch, To: epoch})
		}
		a.line("unchained", "%s", countText(uint64(len(at)), at))
	}
	if s.Far.Count > 0 {
		a.line("far names", "%d        between %d and %d, too far from the others to be history", s.Far.Count, s.Far.From, s.Far.To)
	}
	if s.Strays.Count > 0 {
		text := fmt.Sprintf("%-8d  under no epoch", s.Strays.Count)
		if len(s.Strays.Epochs) > 0 {
			text = countText(s.Strays.Count, plainRanges(s.Strays.Epochs))
		}
		a.line("strays", "%s; such as %s", text, strings.Join(s.Strays.Keys[:min(len(s.Strays.Keys), maxStraysShown)], ", "))
	}
}

// printNameFaults prints what names contradict each other, which they may do under verdicts that
// are all verified.
func (a *app) printNameFaults(namespace string, s *report.ChainStatus) {
	if s == nil || len(s.Doubles)+len(s.Breaks) == 0 {
		return
	}
	a.printf("\n")
	for i, r := range s.Doubles {
		if i == maxListed {
			a.printf("and %d more ranges: use --json to list them all\n", len(s.Doubles)-maxListed)
			break
		}
		if r.From == r.To {
			a.printf("epoch %d has several batches, by their names: the log shows two histories\n", r.From)
		} else {
			a.printf("epochs %d to %d have several batches each, by their names: the log shows two histories\n", r.From, r.To)
		}
	}
	for i, epoch := range s.Breaks {
		if i == maxListed {
			a.printf("and %d more: use --json to list them all\n", len(s.Breaks)-maxListed)
			break
		}
		a.printf("epoch %d does not continue epoch %d, by their names: the log shows two histories\n", epoch, epoch-1)
	}
	a.printf("The names are under %s/evidence/.\n", namespace)
}

func plainRanges(ranges []verdict.ChainRange) (plain []epochset.Range) {
	for _, r := range ranges {
		plain = append(plain, epochset.Range(r))
	}
	return plain
}
