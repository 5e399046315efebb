package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/jobs/report"
)

type headCmd struct {
	storedFlags
	anchorFlag
	strictFlag
	From uint64 `group:"log" placeholder:"EPOCH" help:"Epoch to start at. By default the first epoch of the configuration, or the first that has a verdict."`
}

func (headCmd) Help() string {
	return `Prints the head, which is the last epoch up to which every epoch is verified, and the digest of the tree at that epoch. To
trust this audit is to trust that tree. The head stays before a contradiction that is open, until somebody acknowledges it, and
never passes a rejected epoch.

Exits with 1 if there is no head, or if something is wrong that nobody has acknowledged, as status does; epochs without a verdict
do not count. With --strict what was acknowledged counts, too.

Examples:
  ktaudit head --namespace example --audit-store ./audit
  ktaudit head --config ktaudit.yaml --json`
}

// Run prints the heads, one log after the other.
func (c headCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("head")
	if err != nil {
		return err
	}
	if err := c.beginOne(c.configFlags, settings, namespaces, &c.From); err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var found error
	for _, n := range namespaces {
		r := rangeFlags{From: c.From}
		r.fill(n)
		r.To = 0
		if err := r.checkBounds(); err != nil {
			return err
		}
		anchor, err := c.of(n)
		if err != nil {
			return err
		}
		h, err := report.ReadHead(ctx, store, n.Namespace, anchor, r.From)
		if err != nil {
			return err
		}
		if h.Head == 0 || h.Wrong(c.Strict) {
			found = errFound
		}
		if err := a.printHead(h); err != nil {
			return err
		}
	}
	return found
}

func (a *app) printHead(h report.Head) error {
	defer a.warnOfIncidents(h.Namespace, h.Incidents)
	switch {
	case a.json:
		return a.object(h)
	case h.Head == 0 && h.From == 0:
		a.printf("%s: none: no epoch has a verdict\n", h.Namespace)
	case h.Unanchored:
		a.printf("%s: none: epoch %d does not begin with the anchor's digest\n", h.Namespace, h.From)
	case h.Head == 0 && h.HeldBackBy != "":
		a.printf("%s: %s\n", h.Namespace, headText(0, h.HeldBackBy))
	case h.Head == 0:
		a.printf("%s: none: epoch %d is not verified\n", h.Namespace, h.From)
	default:
		overruled := ""
		if h.OverruledCount > 0 {
			overruled = fmt.Sprintf(" (%d overruled)", h.OverruledCount)
		}
		a.printf("%s: %d %s%s\n", h.Namespace, h.Head, h.Digest, overruled)
	}
	return nil
}
