package page

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/page/documents"
	"github.com/ktaudit/ktaudit/page/summary"
)

// EpochDocuments are the names of an epoch's documents in its folder, of which some may not be
// there.
var EpochDocuments = []string{"epoch.json", "verdict.json", "proof.tlog-proof", "statement", ""}

// ReadAll reads until nothing that is on record is left to be read, for whoever writes the page as
// files. A log that cannot be read is shown as such.
func (p *Page) ReadAll(ctx context.Context) error {
	for _, l := range p.logs {
		for {
			err := p.Round(ctx, l.log.Name)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s, _ := l.status(p.now())
			if err != nil || !s.IsPart() {
				break
			}
		}
	}
	return nil
}

// Summaries are those of the logs that could be read.
func (p *Page) Summaries() (all []*summary.Summary) {
	for _, l := range p.logs {
		if s, _ := l.status(p.now()); s != nil {
			all = append(all, s)
		}
	}
	return all
}

// Link has pages lead only to such as exists says are there, and makes them anew.
func (p *Page) Link(exists func(path string) bool) error {
	p.linked = func(path string) bool { return exists(path) }
	p.rendered = documents.NewCache[*documents.Document](500)
	return p.update()
}

// Paths are those of the documents that are always there, beside those of ranges and epochs.
func (p *Page) Paths() []string {
	return slices.Concat(slices.Sorted(maps.Keys(p.current.Load().documents)), slices.Sorted(maps.Keys(p.assets.documents)))
}

// Document makes what stands at a path, whatever it costs; ErrNoDocument if nothing does.
func (p *Page) Document(ctx context.Context, path string) (*documents.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d, err := p.document(ctx, path, nil, true)
	if err != nil && !errors.Is(err, ErrNoDocument) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, err
}

// Unread are the logs whose pages say that what is on record could not be read.
func (p *Page) Unread() (names []string) {
	for _, l := range p.logs {
		if _, unread := l.status(p.now()); !unread.IsZero() {
			names = append(names, l.log.Name)
		}
	}
	return names
}
