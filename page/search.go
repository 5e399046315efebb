package page

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// searchView is what a search found.
type searchView struct {
	frame
	Query string
	Hits  []hit
	Asked bool // for something that can be looked for
	Busy  bool
}

// hit is an epoch that was found.
type hit struct {
	Namespace string
	Epoch     uint64
	Why       string
	Link      string
	path      string
}

func (p *Page) searchView(query string, hits []hit, asOf time.Time) searchView {
	f := p.frame("search/", "Search", "Search audited epochs by number or digest.", asOf)
	for i := range hits {
		hits[i].Link = f.link(hits[i].path)
	}
	return searchView{frame: f, Query: query, Hits: hits, Asked: query != ""}
}

// maxHits is how many epochs with one digest are shown of a log.
const maxHits = 10

// search looks for an epoch by its number, or by the digest after it.
func (p *Page) search(ctx context.Context, query string) (hits []hit, err error) {
	query = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(query, ",", "")))
	if epoch, err := strconv.ParseUint(query, 10, 64); err == nil {
		for _, l := range p.logs {
			if s, _ := l.status(p.now()); s != nil {
				if first, last := s.Bounds(); first <= epoch && epoch <= last && last > 0 {
					hits = append(hits, hit{Namespace: l.log.Name, Epoch: epoch, path: EpochPath(l.log.Name, epoch)})
				}
			}
		}
		return hits, nil
	}
	if verdict.CheckDigest(query) != nil {
		return nil, nil
	}
	for _, l := range p.logs {
		found, err := p.byDigest(ctx, l, query)
		if err != nil {
			return nil, err
		}
		hits = append(hits, found...)
	}
	return hits, nil
}

// byDigest asks the index of digests, and believes it where a verdict bears it out.
func (p *Page) byDigest(ctx context.Context, l *logState, digest string) (hits []hit, err error) {
	if err := p.spend(p.reads, 1); err != nil {
		return nil, err
	}
	epochs, err := p.c.Store.EpochsOfDigest(ctx, l.log.Name, digest, verdict.MaxEpoch)
	if err != nil {
		return nil, err
	}
	for _, epoch := range epochs[:min(len(epochs), maxHits)] {
		v, err := p.epoch(ctx, l, epoch, false)
		if err == ErrNoDocument {
			continue
		}
		if err != nil {
			return nil, err
		}
		if v.Verdict != nil && v.Verdict.Digest == digest {
			hits = append(hits, hit{Namespace: l.log.Name, Epoch: epoch, Why: "ends with this digest: " + v.Outcome(), path: EpochPath(l.log.Name, epoch)})
		}
	}
	return hits, nil
}
