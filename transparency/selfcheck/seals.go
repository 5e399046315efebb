package selfcheck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/tlog"
)

// bundlesChecked is how many tiles of events a check that is not full reads: all of four million
// epochs. Of more they are chosen by chance.
const bundlesChecked = 16

// seals holds the history of seals against the events, and, if the check is full, the seals, too;
// and the objects of other events. What has no event yet says nothing.
func (c *check) seals(ctx context.Context) error {
	if c.tree.N == 0 {
		return nil
	}
	h, err := c.Store.History(ctx, c.Namespace)
	if errors.Is(err, verdict.ErrNewerSchema) || errors.Is(err, auditstore.ErrCorrupt) {
		h, err = verdict.History{}, nil // told by whoever seals
	}
	if err != nil {
		return err
	}
	var others []transparency.Event
	bundles := rand.Perm(int((c.tree.N + torchwood.TileWidth - 1) >> torchwood.TileHeight))
	if !c.Full {
		bundles = bundles[:min(len(bundles), bundlesChecked)]
	}
	for _, n := range bundles {
		some, err := c.sealsOf(ctx, h, int64(n))
		if err != nil {
			return err
		}
		others = append(others, some...)
	}
	return c.objects(ctx, others)
}

// sealsOf checks the seals that a tile of events speaks of, and returns its other events.
func (c *check) sealsOf(ctx context.Context, h verdict.History, n int64) (others []transparency.Event, err error) {
	var indexes []int64
	for i := n << torchwood.TileHeight; i < min((n+1)<<torchwood.TileHeight, c.tree.N); i++ {
		indexes = append(indexes, i)
	}
	hashes, err := c.leaves(ctx, indexes)
	if err != nil || hashes == nil {
		return nil, err
	}
	all, err := c.log.Bundle(ctx, c.tree.N, n)
	if errors.Is(err, transparency.ErrInconsistent) || auditstore.IsLost(err) {
		return nil, c.find(WrongTile, nil, "the tile of events %d to %d is not what was signed: %v", indexes[0], indexes[len(indexes)-1], err)
	}
	if err != nil {
		return nil, err
	}
	for i, entry := range all {
		if tlog.RecordHash(entry) != hashes[i] {
			return others, c.find(WrongTile, nil, "event %d in the tile of entries is not the one that was signed", indexes[i])
		}
		e, err := transparency.DecodeEvent(entry)
		switch {
		case err != nil: // of a later version
		case e.Kind != transparency.Seal:
			others = append(others, e)
		default:
			if err := c.seal(ctx, h, e); err != nil {
				return others, err
			}
		}
	}
	return others, nil
}

// seal holds what is on record of a seal against its event.
func (c *check) seal(ctx context.Context, h verdict.History, e transparency.Event) error {
	from, to := verdict.ShardRange(*e.Shard)
	for _, span := range h.Spans {
		if span.First() <= *e.Shard && *e.Shard <= span.Last() && span.Seals[*e.Shard-span.First()] != e.SHA256 {
			err := c.find(Changed, nil, "the seal of epochs %d to %d in the history is not the one that was logged: verdicts were changed after they were sealed", from, to)
			if err != nil {
				return err
			}
		}
	}
	if !c.Full {
		return nil
	}
	data, err := c.Store.SealBytes(ctx, c.Namespace, *e.Shard)
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
		return c.find(Missing, nil, "the seal of epochs %d to %d was removed: the log has it", from, to)
	case err != nil && !errors.Is(err, auditstore.ErrCorrupt):
		return err
	case err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != e.SHA256:
		return c.find(Changed, nil, "the seal of epochs %d to %d was changed: the log has another one", from, to)
	}
	return nil
}
