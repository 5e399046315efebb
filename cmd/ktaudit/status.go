package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

type statusCmd struct {
	storedFlags
	queueFlags
	rangeFlags
	anchorFlag
	logDirectoryFlag
	lagFlag
	strictFlag
	Watch bool `group:"output" help:"Redraw the status on a terminal, with a strip of epochs, until Ctrl-C. The exit status is that of the last one."`
}

func (statusCmd) Help() string {
	return `Shows which epochs are verified, rejected or missing, and the head, which is the last epoch up to which every epoch is
verified. Without a range it covers the epochs from the first to the last that has a verdict; a configuration file or preset
may set other bounds. It also shows what is on record of the log's names: see ktaudit chain. The head stays before a
contradiction that is open. Signed are the epochs whose digests ktaudit serve signed.

Where a verdict log is configured, the store is held against its newest witnessed checkpoint, by a sample: ktaudit seal --check
reads all of it.

Exits with 1 if an epoch has no verdict, if the store differs from the verdict log, if epochs wait for a key, or if something is wrong
that nobody has acknowledged: an epoch was rejected or does not continue the one before it, names on record contradict each other, or
another critical incident of these epochs is open. The command incidents lists and acknowledges them; with --strict acknowledged ones
count, too.

Where the log directory is known and no --to is given, it asks the log for its newest epoch, and exits with 1 if the audit is
further behind than --max-lag, with 2 if nothing is wrong but the log cannot be asked. With --max-lag or a configuration file it also exits with 1 if
Redis does not answer, or if no worker or scheduler is alive while there is something left to audit.

Examples:
  ktaudit status --config ktaudit.yaml
  ktaudit status --config ktaudit.yaml --max-lag 20
  ktaudit status --config ktaudit.yaml --watch
  ktaudit status --namespace example --audit-store ./audit
  ktaudit status --namespace example --audit-store ./audit --from 1 --to 1000 --redis redis://localhost:6379/0 --json`
}

// Run prints the status, of one log after the other.
func (c statusCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("status")
	if err != nil {
		return err
	}
	if err := c.complete(settings, namespaces); err != nil {
		return err
	}
	if c.Watch {
		if err := a.checkWatch(); err != nil {
			return err
		}
	}
	own, err := openVerdictLog(settings, false)
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	reader := statusReader{statusCmd: c, app: a, store: store, own: own}
	defer reader.close()
	if c.Watch {
		return reader.watch(ctx, namespaces)
	}
	return a.reportAll(reader.readAll(ctx, namespaces), c.Strict)
}

// complete lays the flags over the settings and checks them.
func (c *statusCmd) complete(settings *config.Config, namespaces []config.Namespace) error {
	if err := c.beginOne(c.configFlags, settings, namespaces, &c.From); err != nil {
		return err
	}
	c.queueFlags.fill(settings)
	given := flagsGiven(map[string]bool{"--log-directory": c.LogDirectory != ""})
	if err := c.forOneLog(settings, namespaces, given); err != nil {
		return err
	}
	for i := range namespaces {
		namespaces[i].LogDirectory = cmp.Or(c.LogDirectory, namespaces[i].LogDirectory)
		if err := c.lagFlag.check(c.rangeFlags, namespaces[i]); err != nil {
			return err
		}
	}
	return nil
}

// queueState is what the queue has of a log's epochs.
type queueState struct {
	Queues    []queue.Counts `json:"queues,omitempty"`
	QueueNote string         `json:"queue_note,omitempty"` // why Queues is empty
}

// read reads the counts. If Redis does not answer, it sets a note and returns no error.
func (q *queueState) read(r *queue.Redis, namespace string) {
	var err error
	if q.Queues, err = r.ReadCounts(namespace); err != nil {
		q.QueueNote = fmt.Sprintf("redis at %s does not answer: %v", r, err)
	}
}

// maxListed is how many ranges and rejections are printed for a human; --json has up to
// report.MaxListed.
const maxListed = 20

// nextSteps are the places that the advice at the end of a report names.
type nextSteps struct {
	logDirectory string // empty if the command does not know it
	store        string
}

// report prints a status and returns errFound unless all is well and nothing else is wrong; strict,
// unless nothing had to be acknowledged either.
func (a *app) report(s report.Status, live liveState, next nextSteps, strict bool) error {
	if a.json {
		err := a.object(struct {
			report.Status
			queueState
			LogDirectory string `json:"log_directory,omitempty"`
			AuditStore   string `json:"audit_store"`
			liveState
		}{s, live.queueState, next.logDirectory, next.store, live})
		if err != nil {
			return err
		}
	} else {
		a.printStatus(s, live, next)
	}
	if !s.Good() || s.Wrong(strict) || s.VerifiedCount == 0 || len(live.Problems)+len(live.Waiting) > 0 {
		return errFound
	}
	return live.unanswered
}

func (a *app) printStatus(s report.Status, live liveState, next nextSteps) {
	queues := live.queueState
	a.line("namespace", "%s", s.Namespace)
	if next.logDirectory != "" {
		a.line("log", "%s", next.logDirectory)
	}
	if s.To == 0 {
		a.line("epochs", "no epoch has a verdict")
		a.printChain(s.Chain)
		a.printLive(live)
		a.printQueues(queues)
		a.printWaiting(live.Waiting)
		a.printNameFaults(s.Namespace, s.Chain)
		a.printOpen(s.Incidents)
		a.printRetrying(s, live)
		a.printProblems(live)
		return
	}
	total := s.To - s.From + 1
	a.line("epochs", "%s", rangeText(epochset.Range{From: s.From, To: s.To}))
	if s.Unanchored() {
		a.line("head", "none: epoch %d does not begin with the anchor's digest", s.From)
	} else if s.Head == 0 && s.HeldBackBy == "" {
		a.line("head", "none: epoch %d is not verified", s.From)
	} else {
		a.line("head", "%s", headText(s.Head, s.HeldBackBy))
	}
	a.line("verified", "%s", countText(s.VerifiedCount, s.Verified))
	a.line("rejected", "%d", s.RejectedCount)
	a.line("missing", "%s", countText(s.MissingCount, s.Gaps))
	if s.SealedCount > 0 {
		a.line("sealed", "%d", s.SealedCount)
	}
	if len(s.Breaks) > 0 {
		a.line("breaks", "%d", len(s.Breaks))
	}
	a.printStretches(s.Stretches)
	if s.OverruledCount > 0 {
		a.line("overruled", "%d", s.OverruledCount)
	}
	a.printChain(s.Chain)
	a.printLive(live)
	if len(s.Incidents) > 0 {
		a.line("incidents", "%s", incidentCount(incident.List{Open: s.Incidents, More: s.MoreIncidents}))
	}
	a.printQueues(queues)
	a.printWaiting(live.Waiting)
	a.printNameFaults(s.Namespace, s.Chain)
	a.printRetrying(s, live)
	if len(s.Rejected)+len(s.Breaks)+len(s.Rollbacks) > 0 {
		a.printf("\n")
	}
	a.printRejected(s)
	a.printBreaks(s.Breaks)
	a.printRollbacks(s.Rollbacks)
	a.printOverruled(s)
	a.printOpen(s.Incidents)
	a.printProblems(live)
	a.printf("\n%d of %d epochs verified\n", s.VerifiedCount, total)
	a.printf("The verdicts are in %s, under %s/verdicts/.\n", next.store, s.Namespace)
	if s.RejectedCount > 0 {
		a.printf("The evidence on rejections is under %s/evidence/ and %s/archive/.\n", s.Namespace, s.Namespace)
	}
	if len(s.Gaps) > 0 {
		a.printMissing(s, queues, next)
	}
}

func (a *app) printRejected(s report.Status) {
	for i, r := range s.Rejected {
		if i == maxListed {
			a.printf("and %d more rejected: use --json to list up to %d\n", s.RejectedCount-maxListed, report.MaxListed)
			break
		}
		a.printf("epoch %d rejected: %s%s\n", r.Epoch, r.Reason, acknowledgedText(r.Acknowledged))
		if r.Detail != "" {
			a.printf("  %s\n", r.Detail)
		}
	}
}

func (a *app) printBreaks(breaks []report.Break) {
	for i, b := range breaks {
		if i == maxListed {
			a.printf("and %d more breaks: use --json to list up to %d\n", len(breaks)-maxListed, report.MaxListed)
			break
		}
		if b.Anchored {
			a.printf("epoch %d does not begin with the anchor's digest: the anchor is wrong, or this is not the log that it is of\n", b.Epoch)
			a.printf("  the anchor says that epoch %d ended with %s, epoch %d begins with %s\n", b.Epoch-1, b.Expected, b.Epoch, b.PreviousDigest)
			continue
		}
		a.printf("epoch %d does not continue epoch %d, though both are verified: the log shows two histories%s\n",
			b.Epoch, b.Epoch-1, acknowledgedText(b.Acknowledged))
		a.printf("  epoch %d ended with %s, epoch %d begins with %s\n", b.Epoch-1, b.Expected, b.Epoch, b.PreviousDigest)
	}
}

func (a *app) printRollbacks(rollbacks []report.Rollback) {
	for i, b := range rollbacks {
		if i == maxListed {
			a.printf("and %d more rollbacks: use --json to list them all\n", len(rollbacks)-maxListed)
			break
		}
		a.printf("epoch %d does not continue what was verified before: it goes back to epoch %d, and lacks what came between%s\n",
			b.Epoch, b.To, acknowledgedText(b.Acknowledged))
		a.printf("  epoch %d ended with %s, and epoch %d begins with it\n", b.To, b.PreviousDigest, b.Epoch)
	}
}

// printMissing prints what to do about epochs without a verdict.
func (a *app) printMissing(s report.Status, queues queueState, next nextSteps) {
	onQueue := 0
	for _, q := range queues.Queues {
		onQueue += q.Pending + q.Active + q.Retry
	}
	if onQueue > 0 {
		a.printf("Some epochs have no verdict. Workers will audit those on the queue. To queue the rest, ")
	} else {
		a.printf("Some epochs have no verdict. Check whether %s has them. If so, ", cmp.Or(next.logDirectory, "the log directory"))
	}
	a.printf("use run or enqueue with --from %d --to %d.\n", s.Gaps[0].From, s.Gaps[len(s.Gaps)-1].To)
}

func (a *app) printQueues(queues queueState) {
	if queues.QueueNote != "" {
		a.line("queue", "%s", queues.QueueNote)
	}
	for _, q := range queues.Queues {
		paused := ""
		if q.Paused {
			paused = ", paused"
		}
		abandoned := ""
		if q.Abandoned > 0 {
			abandoned = fmt.Sprintf(" (%d of them held by no worker; they go back to the queue)", q.Abandoned)
		}
		a.line("queue", "%-8s  %d waiting, %d active%s, %d to retry, %d given up%s", q.Class, q.Pending, q.Active, abandoned, q.Retry, q.Archived, paused)
	}
}

// line prints one aligned line of a report.
func (a *app) line(title, format string, args ...any) {
	a.printf("%-10s %s\n", title, fmt.Sprintf(format, args...))
}

// countText is a count with the ranges that make it up.
func countText(count uint64, ranges []epochset.Range) string {
	if count == 0 {
		return "0"
	}
	texts := make([]string, 0, min(len(ranges), maxListed+1))
	for i, r := range ranges {
		if i == maxListed {
			texts = append(texts, fmt.Sprintf("and %d more ranges", len(ranges)-maxListed))
			break
		}
		texts = append(texts, rangeText(r))
	}
	return fmt.Sprintf("%-8d  %s", count, strings.Join(texts, ", "))
}

func rangeText(r epochset.Range) string {
	if r.From == r.To {
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d to %d", r.From, r.To)
}
