package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

const (
	// newestChecked and othersChecked are how many verdicts a check that is not full reads at the
	// end of the log, and elsewhere by chance.
	newestChecked = 12
	othersChecked = 6
	// readers is how many objects are read at once, bundlesAtOnce how many tiles of entries are in
	// memory.
	readers       = 32
	bundlesAtOnce = 4
)

// entries holds entries of the log against the tree, and against the objects that they are of.
func (c *check) entries(ctx context.Context) error {
	if c.tree.N == 0 {
		return nil
	}
	var err error
	c.first, err = c.log.First(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) || errors.Is(err, auditstore.ErrCorrupt) {
		return c.find(Missing, nil, "which epoch it begins with is not on record: %v", err)
	}
	switch {
	case err != nil:
		return err
	case c.Full:
		return c.allEntries(ctx)
	case c.log.Kind() == transparency.Events:
		return nil // seals reads what it needs
	}
	var chosen []int64
	for i := max(0, c.tree.N-newestChecked); i < c.tree.N; i++ {
		chosen = append(chosen, i)
	}
	for range othersChecked {
		chosen = append(chosen, rand.Int64N(c.tree.N))
	}
	slices.Sort(chosen)
	chosen = slices.Compact(chosen)
	hashes, err := c.leaves(ctx, chosen)
	if err != nil || hashes == nil {
		return err
	}
	return c.compare(ctx, chosen, hashes)
}

// leaves returns the hashes of some entries, proven to belong to the tree; nil if that fails, which
// is a finding.
func (c *check) leaves(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	stored := make([]int64, len(indexes))
	for i, index := range indexes {
		stored[i] = tlog.StoredHashIndex(0, index)
	}
	hashes, err := c.log.Hashes(ctx, c.tree).ReadHashes(stored)
	if errors.Is(err, transparency.ErrInconsistent) || auditstore.IsLost(err) {
		return nil, c.find(WrongTile, nil, "the tiles over entries %d to %d are not those of the tree that was signed: %v",
			indexes[0], indexes[len(indexes)-1], err)
	}
	return hashes, err
}

// compare holds what is on record of some entries against their hashes in the log.
func (c *check) compare(ctx context.Context, indexes []int64, hashes []tlog.Hash) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, index := range indexes {
		g.Go(func() error {
			object, absence, err := c.log.OnRecord(ctx, index)
			if err != nil || object != nil && tlog.RecordHash(object) == hashes[i] || absence != nil && tlog.RecordHash(absence) == hashes[i] {
				return err
			}
			number := c.first + uint64(index)
			what, epoch := fmt.Sprintf("the verdict on epoch %d", number), &number
			if c.log.Kind() == transparency.Events {
				what, epoch = fmt.Sprintf("event %d", number), nil
			}
			if object == nil && absence == nil {
				return c.find(Missing, epoch, "%s was removed: the log has it", what)
			}
			return c.find(Changed, epoch, "%s was changed: the log has another one", what)
		})
	}
	return g.Wait()
}

// allEntries goes through all tiles of entries, with the hashes above them and the objects that
// they are made from.
func (c *check) allEntries(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bundlesAtOnce)
	done := int64(0)
	var mu sync.Mutex // over done
	for n := int64(0); n<<torchwood.TileHeight < c.tree.N && ctx.Err() == nil; n++ {
		g.Go(func() error {
			width, err := c.bundle(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			if done += width; c.Progress != nil {
				c.Progress(done, c.tree.N)
			}
			return err
		})
	}
	return g.Wait()
}

// bundle checks tile n of the entries, and returns how many it has.
func (c *check) bundle(ctx context.Context, n int64) (width int64, err error) {
	start := n << torchwood.TileHeight
	width = min(torchwood.TileWidth, c.tree.N-start)
	indexes := make([]int64, width)
	for i := range indexes {
		indexes[i] = start + int64(i)
	}
	hashes, err := c.leaves(ctx, indexes)
	if err != nil || hashes == nil {
		return width, err
	}
	all, err := c.log.Bundle(ctx, c.tree.N, n)
	if errors.Is(err, transparency.ErrInconsistent) || auditstore.IsLost(err) {
		err = c.find(WrongTile, nil, "the tile of entries %d to %d is not what was signed: %v", start, start+width-1, err)
	}
	if err != nil {
		return width, err
	}
	for i, entry := range all {
		switch {
		case tlog.RecordHash(entry) != hashes[i]:
			err = c.find(WrongTile, nil, "entry %d in the tile of entries is not the one that was signed", indexes[i])
		case !c.isOf(entry, c.first+uint64(indexes[i])):
			err = c.find(WrongTile, nil, "entry %d is about another epoch than %d: where the log begins was changed", indexes[i], c.first+uint64(indexes[i]))
		}
		if err != nil {
			return width, err
		}
	}
	return width, c.compare(ctx, indexes, hashes)
}

// isOf reports whether an entry is of an epoch, or has a number. One of a later schema is not read.
func (c *check) isOf(entry []byte, number uint64) bool {
	if c.log.Kind() == transparency.Events {
		e, err := transparency.DecodeEvent(entry)
		return errors.Is(err, verdict.ErrNewerSchema) || err == nil && e.Namespace == c.Namespace && e.Number == number
	}
	v, err := verdict.Decode(entry)
	if err == nil || errors.Is(err, verdict.ErrNewerSchema) {
		return err != nil || v.Namespace == c.Namespace && v.Epoch == number
	}
	a, err := verdict.DecodeAbsence(entry)
	return errors.Is(err, verdict.ErrNewerSchema) || err == nil && a.Namespace == c.Namespace && a.Epoch == number
}
