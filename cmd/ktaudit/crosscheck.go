package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/crosscheck"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
)

// newCrossChecks returns what compares the digests that other auditors of a log signed, and those
// that were signed here, with what it published.
func newCrossChecks(
	a *app, n config.Namespace, store *auditstore.Store, by observers, collect func(context.Context, incident.Concern),
) ([]func(context.Context), error) {
	log := a.log.With().Str("namespace", n.Namespace).Logger()
	incidents := incident.Recorder{Store: store, Metrics: by.jobMetrics(), Log: log, Collect: collect}
	loops := []func(context.Context){crosscheck.NewOurs(crosscheck.OursConfig{
		Namespace: n.Namespace, Store: store, Incidents: incidents, Every: config.DefaultCrossCheckEvery, Metrics: by.jobMetrics(), Log: log,
	}).Run}
	for _, x := range n.CrossChecks {
		c := crosscheck.Config{
			Namespace: n.Namespace, Store: store, Incidents: incidents, RemoteNamespace: x.Namespace, Every: x.Every, Rate: crosscheck.DefaultRate,
			Metrics: by.jobMetrics(), Tracer: by.jobTracer(), Log: log,
		}
		var err error
		if c.Client, err = newCrossCheckClient(x); err == nil {
			c.Keys, err = signature.ParseKeys(x.Keys())
		}
		if err == nil && x.MaxLag != "" {
			var lag units.Lag
			lag, err = units.ParseLag(x.MaxLag)
			c.MaxLag, c.MaxLagEpochs = lag.Age, lag.Epochs
		}
		if err != nil {
			return nil, fmt.Errorf("cross_check of %s: %w", n.Namespace, err)
		}
		loops = append(loops, crosscheck.New(c).Run)
	}
	return loops, nil
}

// newCrossCheckClient asks each question once: the loop asks again.
func newCrossCheckClient(x config.CrossCheck) (*client.Client, error) {
	return client.New(client.Config{URL: x.URL, Attempts: 1})
}

// auditorsOf are the auditors that are compared with each log, as metrics name them.
func auditorsOf(namespaces []config.Namespace) map[string][]string {
	all := map[string][]string{}
	for _, n := range namespaces {
		all[n.Namespace] = []string{crosscheck.Ours}
		for _, x := range n.CrossChecks {
			if c, err := newCrossCheckClient(x); err == nil { // else nothing is started
				all[n.Namespace] = append(all[n.Namespace], crosscheck.ID(c.URL()))
			}
		}
	}
	return all
}

// statementKeys are the keys of all whose statements on a log are checked: those that verdicts rest
// on, other auditors', and those that sign here, as far as they can be read: bundles are also made
// and checked where no key is that signs.
func statementKeys(settings *config.Config, n config.Namespace) []string {
	ours, err := signingKeys(settings.Serve.Keys)
	if err != nil {
		ours = nil
	}
	return statementKeysWith(ours, n)
}

// statementKeysWith adds the verifying keys of those that sign here, unless they are given already.
func statementKeysWith(ours []auditor.Key, n config.Namespace) []string {
	keys := n.StatementKeys()
	for _, k := range ours {
		if !slices.ContainsFunc(keys, func(text string) bool { return strings.HasPrefix(strings.ToLower(text), k.Public()) }) {
			keys = append(keys, k.Public())
		}
	}
	return keys
}
