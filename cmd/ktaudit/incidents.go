package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/internal/spelling"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

type incidentsCmd struct {
	List incidentsListCmd `cmd:"" default:"withargs" help:"List what is open."`
	Show incidentsShowCmd `cmd:"" help:"Show one incident: what it means, its evidence and what to do."`
	Ack  incidentsAckCmd  `cmd:"" help:"Acknowledge an incident, on record."`
}

func (incidentsCmd) Help() string { return incidentsListCmd{}.Help() }

type incidentsListCmd struct {
	storedFlags
}

func (incidentsListCmd) Help() string {
	return `Lists what is wrong with a log, or with its audit: what is critical first, then warnings, then what was acknowledged. Conditions
leave the list when they end. Facts, such as a rejection, stay; acknowledge them once they are dealt with.

Exits with 1 if something critical is open that nobody has acknowledged, or if no epoch has a verdict: then nothing was found because
nothing was audited.

Examples:
  ktaudit incidents --config ktaudit.yaml
  ktaudit incidents --namespace example --audit-store ./audit --json
  ktaudit incidents show names_changed/000000000014-2d711642 --config ktaudit.yaml
  ktaudit incidents ack rejected/000000000005 --config ktaudit.yaml --reason "known defect, fixed in epoch 6" --by alice`
}

// Run lists the incidents of one log after the other.
func (c incidentsListCmd) Run(ctx context.Context, a *app) (err error) {
	_, namespaces, err := c.logs("incidents")
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return a.eachLog(namespaces, func(n config.Namespace) error { return a.listIncidents(ctx, store, n) })
}

// maxDetailed is how many incidents are read for a list; of others it has the name only.
const maxDetailed = 1000

func (a *app) listIncidents(ctx context.Context, store *auditstore.Store, n config.Namespace) error {
	list, err := incident.ReadList(ctx, store, n.Namespace)
	if err != nil {
		return err
	}
	details := make([]incident.Details, len(list.Open))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, o := range list.Open {
		details[i] = incident.Details{Open: o}
		if i < maxDetailed {
			group.Go(func() (err error) {
				details[i], err = incident.ReadDetails(groupCtx, store, n.Namespace, o.Incident)
				if errors.Is(err, incident.ErrNotOpen) { // removed by hand since
					err = nil
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	found := error(nil)
	if list.Wrong(false) {
		found = errFound
	}
	if len(details) == 0 {
		return a.noIncidents(ctx, store, n.Namespace)
	}
	if !a.json {
		a.printIncidents(n.Namespace, list, details)
		return found
	}
	for _, d := range details {
		err := a.object(struct {
			Namespace string `json:"namespace"`
			incident.Details
		}{n.Namespace, d})
		if err != nil {
			return err
		}
	}
	return found
}

// noIncidents says that nothing is open; under a mistyped name or store nothing ever would be.
func (a *app) noIncidents(ctx context.Context, store *auditstore.Store, namespace string) error {
	shards, err := store.Shards(ctx, namespace, 0, verdict.MaxEpoch/verdict.EpochsPerShard)
	if err != nil {
		return err
	}
	if len(shards) == 0 {
		a.log.Warn().Str("namespace", namespace).
			Msg("nothing is open, but no epoch has a verdict either: start the audit, or check --namespace and --audit-store")
		return errFound
	}
	if !a.json {
		a.printf("%s: nothing is open\n", namespace)
	}
	return nil
}

func (a *app) printIncidents(namespace string, list incident.List, details []incident.Details) {
	a.printf("%s: %s\n", namespace, incidentCount(list))
	for _, d := range details {
		a.printf("%-12s  %-20s  %s\n", incidentState(d.Open), sinceText(d), d.Incident)
		switch {
		case d.Alert != nil:
			a.printf("  %s\n", d.Alert.Summary)
		case d.Error != "":
			a.printf("  cannot be read: %s\n", d.Error)
		}
		if d.Acknowledgement != nil {
			a.printf("  acknowledged by %s: %s\n", d.Acknowledgement.By, d.Acknowledgement.Reason)
		}
	}
	a.printf("\n`ktaudit incidents show ID` says what one means and what to do.\n")
}

// incidentCount counts what is open, in words.
func incidentCount(list incident.List) string {
	count := map[string]int{}
	for _, o := range list.Open {
		count[incidentState(o)]++
	}
	text := fmt.Sprintf("%d critical, %d warnings, %d acknowledged", count["critical"], count["warning"], count["acknowledged"])
	if list.More {
		text += fmt.Sprintf(", and more than the %d that are listed", incident.MaxListed)
	}
	return text
}

func incidentState(o incident.Open) string {
	if o.Acknowledged {
		return "acknowledged"
	}
	return string(o.Severity)
}

func sinceText(d incident.Details) string {
	if d.Alert == nil {
		return "-"
	}
	return d.Alert.At.Format(time.RFC3339)
}

type incidentsShowCmd struct {
	storedFlags
	ID string `arg:"" name:"id" help:"Name of the incident, as the list has it."`
}

func (incidentsShowCmd) Help() string {
	return `Shows all that is on record of one incident, open or ended: when it began and what was found, who acknowledged it and why, the
keys of its evidence, what it means, how it can come about innocently, and what to do.

Examples:
  ktaudit incidents show rejected/000000000005 --config ktaudit.yaml --namespace example
  ktaudit incidents show names_changed/000000000014-2d711642 --namespace example --audit-store ./audit --json`
}

// Run shows an incident.
func (c incidentsShowCmd) Run(ctx context.Context, a *app) (err error) {
	_, namespace, err := c.log("incidents show")
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	d, err := incident.ReadDetails(ctx, store, namespace.Namespace, c.ID)
	if err != nil {
		return didYouMean(ctx, store, namespace.Namespace, c.ID, err)
	}
	word := string(d.Kind)
	if d.Alert != nil {
		word = d.Alert.ExplainWord()
	}
	text, _ := explain.Of(word)
	if a.json {
		return a.object(struct {
			Namespace string `json:"namespace"`
			incident.Details
			Explained explain.Text `json:"explained,omitzero"`
		}{namespace.Namespace, d, text})
	}
	a.printDetails(namespace.Namespace, d, text)
	if !d.Acknowledged && !d.Ended {
		a.printCommands(text.CommandsFor(explain.Values{
			Config: c.Config, Store: c.AuditStore, Namespace: namespace.Namespace, Incident: d.Incident, Epoch: d.From,
		}))
	}
	return nil
}

func (a *app) printDetails(namespace string, d incident.Details, text explain.Text) {
	a.line("incident", "%s", d.Incident)
	a.line("namespace", "%s", namespace)
	a.line("severity", "%s", d.Severity)
	if d.Alert != nil {
		a.line("since", "%s", sinceText(d))
		if d.Ended && d.Alert.Resolved() {
			a.line("until", "%s", d.Alert.ResolvedAt.Format(time.RFC3339))
		}
		a.line("found", "%s", d.Alert.Summary)
		if d.Alert.Detail != "" {
			a.line("detail", "%s", strings.ReplaceAll(d.Alert.Detail, "\n", "\n           "))
		}
	}
	if d.Acknowledgement != nil {
		a.line("acknowledged", "by %s at %s: %s", d.Acknowledgement.By, d.Acknowledgement.At.Format(time.RFC3339), d.Acknowledgement.Reason)
	}
	for _, key := range d.Evidence {
		a.line("evidence", "%s", key)
	}
	if d.Error != "" {
		a.line("error", "%s", d.Error)
	}
	if text.Title != "" {
		a.printf("\n%s\n", text.Title)
		a.printExplained(text)
	}
	if d.Alert != nil && d.Alert.Reason != text.Word && explain.Best(d.Alert.Reason) != "" {
		a.printf("\nIts reason: ktaudit explain %s\n", d.Alert.Reason)
	}
}

// didYouMean adds to an error the open incident that a misspelled name may stand for.
func didYouMean(ctx context.Context, store *auditstore.Store, namespace, id string, err error) error {
	if !errors.Is(err, incident.ErrNotOpen) {
		return err
	}
	hint := "`ktaudit incidents` lists what is open"
	if list, listErr := incident.ReadList(ctx, store, namespace); listErr == nil {
		var names []string
		for _, o := range list.Open {
			names = append(names, o.Incident)
		}
		name := spelling.Closest(id, names)
		for _, other := range names {
			if name == "" && id != "" && strings.HasPrefix(other, id) { // without the hash of the fact
				name = other
			}
		}
		if name != "" {
			hint = "did you mean " + name + "?"
		}
	}
	return fmt.Errorf("%w: %s", err, hint)
}

type incidentsAckCmd struct {
	storedFlags
	ID     string `arg:"" name:"id" help:"Name of the incident, as the list has it."`
	Reason string `required:"" group:"output" placeholder:"TEXT" help:"Why it needs no more attention."`
	By     string `required:"" group:"output" placeholder:"NAME" help:"Who says so."`
}

func (incidentsAckCmd) Help() string {
	return `Records that somebody has dealt with an incident. status, head, run and export then show it as acknowledged, and exit with 0 if
nothing else is wrong; with --strict it counts all the same. An acknowledgement cannot be taken back or changed: of several the
first one stays. It changes no verdict, and head never passes a rejected epoch.

Exits with 1 if it was acknowledged already, by whomever.

Examples:
  ktaudit incidents ack rejected/000000000005 --config ktaudit.yaml --namespace example --reason "known defect, fixed in epoch 6" --by alice`
}

// Run acknowledges an incident.
func (c incidentsAckCmd) Run(ctx context.Context, a *app) (err error) {
	_, namespace, err := c.log("incidents ack")
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	recorder := incident.Recorder{Store: store, Log: a.log}
	recorded, created, err := recorder.Acknowledge(ctx, incident.Acknowledgement{
		Namespace: namespace.Namespace, Incident: c.ID, By: c.By, Reason: c.Reason,
	})
	if err != nil {
		return didYouMean(ctx, store, namespace.Namespace, c.ID, err)
	}
	if a.json {
		err = a.object(struct {
			incident.Acknowledgement
			Created bool `json:"created"`
		}{recorded, created})
	} else if created {
		a.printf("acknowledged: %s\n", recorded.Incident)
	} else {
		a.printf("%s was acknowledged already, by %s at %s: %s\n", recorded.Incident, recorded.By, recorded.At.Format(time.RFC3339), recorded.Reason)
	}
	if err == nil && !created {
		err = errFound
	}
	return err
}
