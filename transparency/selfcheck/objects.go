package selfcheck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

// objectsChecked is how many objects of events a check that is not full reads, by chance.
const objectsChecked = 20

// objects holds what overrulings, incidents, acknowledgements and late verdicts are on record
// against their events: each is created once and stays, so that none can be taken back unnoticed.
func (c *check) objects(ctx context.Context, events []transparency.Event) error {
	if !c.Full && len(events) > objectsChecked {
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		events = events[:objectsChecked]
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, e := range events {
		g.Go(func() error { return c.object(ctx, e) })
	}
	return g.Wait()
}

// object holds one of them against its event.
func (c *check) object(ctx context.Context, e transparency.Event) error {
	data, err := c.objectBytes(ctx, e)
	if errors.Is(err, auditstore.ErrNotFound) && e.Kind == transparency.Incident && ends(nameOf(e)) {
		_, err = c.Store.Incidents(c.Namespace).Ended(ctx, nameOf(e))
		if err == nil || errors.Is(err, auditstore.ErrCorrupt) {
			return nil // it is over
		}
	}
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
		return c.find(Missing, e.Epoch, "%s, of kind %s, was removed: the log has it", e.Object, e.Kind)
	case err != nil && !errors.Is(err, auditstore.ErrCorrupt):
		return err
	case err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != e.SHA256:
		return c.find(Changed, e.Epoch, "%s, of kind %s, was changed: the log has another one", e.Object, e.Kind)
	}
	return nil
}

// nameOf is the name of an event's object, without its folder.
func nameOf(e transparency.Event) string { return strings.TrimSuffix(path.Base(e.Object), ".json") }

// ends reports whether an incident, by its name, is one of those with an event that somebody may
// end: a skipped epoch and a batch that was withdrawn, which may come after all.
func ends(name string) bool {
	kind, _, _ := strings.Cut(name, ".")
	return kind == "skipped" || kind == "withdrawn"
}

// objectBytes returns what is on record where an event says.
func (c *check) objectBytes(ctx context.Context, e transparency.Event) ([]byte, error) {
	incidents := c.Store.Incidents(c.Namespace)
	switch e.Kind {
	case transparency.Incident:
		return incidents.Incident(ctx, nameOf(e))
	case transparency.Acknowledgement:
		return incidents.Acknowledgement(ctx, nameOf(e))
	case transparency.Overruling:
		all, err := c.Store.OverrulingBytes(ctx, c.Namespace, *e.Epoch)
		_, digits, _ := strings.Cut(nameOf(e), "-")
		n, ok := verdict.ParsePadded(digits, 3)
		if err == nil && (!ok || n == 0 || n > uint64(len(all))) {
			err = auditstore.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		return all[n-1], nil
	}
	return c.Store.VerdictBytes(ctx, c.Namespace, *e.Epoch)
}
