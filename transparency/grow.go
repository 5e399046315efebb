package transparency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"golang.org/x/mod/sumdb/tlog"
)

// growth is what a tree becomes with more entries.
type growth struct {
	tree   tlog.Tree
	due    [][]byte
	before int64               // how many hashes are stored of the tree before
	edge   map[int64]tlog.Hash // of the tree before, those that are needed
	hashes []tlog.Hash         // from before on
}

// ReadHashes makes it a tlog.HashReader.
func (g *growth) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := g.edge[index]
		if index >= g.before && index-g.before < int64(len(g.hashes)) {
			h, ok = g.hashes[index-g.before], true
		}
		if !ok {
			return nil, fmt.Errorf("hash %d is not at hand", index)
		}
		all[i] = h
	}
	return all, nil
}

// grow adds entries to the tree of the base, in memory. What it needs of that tree is read from the
// tiles, and belongs to the tree that was signed.
func (a *appending) grow(ctx context.Context, due [][]byte) (*growth, error) {
	old := a.base.N
	g := &growth{due: due, before: tlog.StoredHashCount(old), edge: map[int64]tlog.Hash{}}
	if old > 0 {
		indexes := torchwood.RightEdge(old)
		for level := 0; old>>(torchwood.TileHeight*level) > 0; level++ {
			n := old >> (torchwood.TileHeight * level)
			for i := n &^ (torchwood.TileWidth - 1); i < n; i++ {
				indexes = append(indexes, tlog.StoredHashIndex(torchwood.TileHeight*level, i))
			}
		}
		hashes, err := a.log.Hashes(ctx, a.base.Tree).ReadHashes(indexes)
		if errors.Is(err, ErrInconsistent) || errors.Is(err, auditstore.ErrNotFound) {
			return nil, a.fork("its tiles are not what they were: %v", err)
		}
		if err != nil {
			return nil, err
		}
		for i, index := range indexes {
			g.edge[index] = hashes[i]
		}
	}
	for i, entry := range due {
		hashes, err := tlog.StoredHashes(old+int64(i), entry, g)
		if err != nil {
			return nil, err
		}
		g.hashes = append(g.hashes, hashes...)
	}
	g.tree.N = old + int64(len(due))
	var err error
	g.tree.Hash, err = tlog.TreeHash(g.tree.N, g)
	return g, err
}

// write creates the tiles that a growth changes, those of each level after those below it. Any that
// is there must be the same.
func (a *appending) write(ctx context.Context, g *growth) error {
	for level := entries; level <= 0 || g.tree.N>>(torchwood.TileHeight*level) > 0; level++ {
		shift := torchwood.TileHeight * max(level, 0)
		from, to := a.base.N>>shift, g.tree.N>>shift
		if from == to {
			continue
		}
		first, last := from>>torchwood.TileHeight, (to-1)>>torchwood.TileHeight
		err := parallel(ctx, int(last-first+1), func(ctx context.Context, i int) error {
			return a.writeTile(ctx, g, tileOf(level, first+int64(i), g.tree.N))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *appending) writeTile(ctx context.Context, g *growth, t tlog.Tile) error {
	data, err := a.tileData(ctx, g, t)
	if err != nil {
		return err
	}
	put := func() ([]byte, error) {
		return a.log.files.Put(ctx, a.log.name(torchwood.TilePath(t)), data, int64(max(len(data), maxTileBytes)))
	}
	on, err := put()
	if errors.Is(err, auditstore.ErrNotFound) {
		// It was there until another process, which has filled the tile since, removed its parts.
		on, err = put()
	}
	if errors.Is(err, auditstore.ErrCorrupt) || err == nil && !bytes.Equal(on, data) {
		return a.fork("%s on record is not what the entries make it", torchwood.TilePath(t))
	}
	return err
}

func (a *appending) tileData(ctx context.Context, g *growth, t tlog.Tile) (data []byte, err error) {
	if t.L != entries {
		return tlog.ReadTileData(t, g)
	}
	start := t.N << torchwood.TileHeight
	if have := a.base.N - start; have > 0 { // the tile goes on from one that is there
		data, err = a.log.readTile(ctx, tileOf(entries, t.N, a.base.N))
		if errors.Is(err, ErrInconsistent) || auditstore.IsLost(err) {
			return nil, a.fork("its entries are not what they were: %v", err)
		}
		if err == nil {
			err = a.isBundle(data, start, g)
		}
		start = a.base.N
	}
	for i := start; err == nil && i < t.N<<torchwood.TileHeight+int64(t.W); i++ {
		data, err = torchwood.AppendTileEntry(data, g.due[i-a.base.N])
	}
	return data, err
}

// isBundle returns nil if the entries of a tile that is gone on from are those of the tree, so that
// what was changed in them is not copied.
func (a *appending) isBundle(data []byte, start int64, g *growth) error {
	for i := start; len(data) > 0; i++ {
		entry, rest, err := torchwood.ReadTileEntry(data)
		if err != nil {
			return err
		}
		hash, err := g.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return err
		}
		if tlog.RecordHash(entry) != hash[0] {
			return a.fork("entry %d on record is not the one that was signed", i)
		}
		data = rest
	}
	return nil
}

// removeParts removes the parts of tiles that are full now, which readers cut from the full ones.
// It does so for one more tile than was filled, since a crash may have kept another process from
// it. What cannot be removed is in nobody's way.
func (a *appending) removeParts(ctx context.Context, tree tlog.Tree) {
	for level := entries; level <= 0 || tree.N>>(torchwood.TileHeight*(level+1)) > 0; level++ {
		shift := torchwood.TileHeight * (max(level, 0) + 1)
		from, to := a.base.N>>shift, tree.N>>shift
		if from == to {
			continue
		}
		// Others were written as a whole, and have no parts.
		for _, n := range []int64{from - 1, from} {
			if n < 0 {
				continue
			}
			full := torchwood.TilePath(tlog.Tile{H: torchwood.TileHeight, L: level, N: n, W: torchwood.TileWidth})
			folder := a.log.name(full + ".p")
			for name, err := range a.log.files.Names(ctx, folder, "") {
				if err != nil || strings.HasSuffix(name, "/") {
					break
				}
				if a.log.files.Remove(ctx, folder+"/"+name) != nil {
					return
				}
			}
		}
	}
}
