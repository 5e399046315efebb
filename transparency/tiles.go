package transparency

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

const (
	// maxTileBytes caps a tile of hashes, maxBundleBytes one of entries.
	maxTileBytes   = torchwood.TileWidth * tlog.HashSize
	maxBundleBytes = torchwood.TileWidth * (2 + 1<<16 - 1)
	// readers is how many objects are read or written at once.
	readers = 64
)

// entries is the level of the tiles that hold entries.
const entries = -1

// parallel calls do for the numbers below n, several at once.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// readTile returns a tile, of hashes or of entries, or the part of a full one that was a tile of a
// smaller tree. Nothing is said of what is in it.
func (l *Log) readTile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	limit := int64(maxTileBytes)
	if t.L == entries {
		limit = maxBundleBytes
	}
	data, err := l.files.Get(ctx, l.name(torchwood.TilePath(t)), limit)
	if errors.Is(err, auditstore.ErrNotFound) && t.W < torchwood.TileWidth {
		full := t
		full.W = torchwood.TileWidth
		if data, err := l.files.Get(ctx, l.name(torchwood.TilePath(full)), limit); !errors.Is(err, auditstore.ErrNotFound) {
			if err != nil {
				return nil, err
			}
			return cut(data, full, t.W)
		}
	}
	if err != nil {
		return nil, err
	}
	return cut(data, t, t.W)
}

// cut returns the first w parts of a tile; ErrInconsistent if it does not have as many parts as it
// should.
func cut(data []byte, t tlog.Tile, w int) ([]byte, error) {
	if t.L != entries {
		if len(data) != t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes, not %d: %w", torchwood.TilePath(t), len(data), t.W*tlog.HashSize, ErrInconsistent)
		}
		return data[:w*tlog.HashSize], nil
	}
	all, err := split(data, t)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, e := range all[:w] {
		n += 2 + len(e)
	}
	return data[:n], nil
}

// split returns the entries of a tile; ErrInconsistent if they are not t.W.
func split(data []byte, t tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for rest := data; len(rest) > 0 || len(all) < t.W; {
		entry, after, err := torchwood.ReadTileEntry(rest)
		if err != nil || len(all) == t.W {
			return nil, fmt.Errorf("%s is not %d entries: %w", torchwood.TilePath(t), t.W, ErrInconsistent)
		}
		all, rest = append(all, entry), after
	}
	return all, nil
}

// Hashes reads hashes of a tree from the tiles, each proven to belong to the tree. The error is an
// ErrInconsistent if that fails, an auditstore.ErrNotFound if a tile is missing, and a fault
// otherwise.
func (l *Log) Hashes(ctx context.Context, tree tlog.Tree) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if len(indexes) == 0 {
			return nil, nil
		}
		if tree.N <= 0 {
			return nil, errors.New("an empty tree has no hashes")
		}
		r := &tileReader{log: l}
		hashes, err := torchwood.TileHashReaderWithContext(ctx, tree, r).ReadHashes(indexes)
		if r.err != nil {
			return nil, r.err
		}
		if err != nil {
			return nil, fmt.Errorf("%s of %s at size %d: %w", l.kind, l.namespace, tree.N, ErrInconsistent)
		}
		return hashes, nil
	})
}

// tileReader reads tiles for tlog, which proves that they belong to the tree.
type tileReader struct {
	log *Log
	err error
}

func (r *tileReader) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	r.err = parallel(ctx, len(tiles), func(ctx context.Context, i int) (err error) {
		data[i], err = r.log.readTile(ctx, tiles[i])
		return err
	})
	return data, r.err
}

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *tileReader) ReadEndpoint(context.Context, string) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Consistency returns the proof that tree extends its first oldSize entries, from the tiles. It is
// empty for an oldSize of 0 and of the whole tree.
func (l *Log) Consistency(ctx context.Context, tree tlog.Tree, oldSize int64) (tlog.TreeProof, error) {
	if oldSize < 0 || oldSize > tree.N {
		return nil, fmt.Errorf("%s of %s: a tree of %d entries does not extend one of %d", l.kind, l.namespace, tree.N, oldSize)
	}
	if oldSize == 0 || oldSize == tree.N {
		return nil, nil
	}
	return tlog.ProveTree(tree.N, oldSize, l.Hashes(ctx, tree))
}

// Entry returns an entry of a tree, with the proof that it is in it. The entry was held against the
// proof.
func (l *Log) Entry(ctx context.Context, tree tlog.Tree, index int64) ([]byte, tlog.RecordProof, error) {
	if index < 0 || index >= tree.N {
		return nil, nil, fmt.Errorf("%s of %s: entry %d of a tree of %d: %w", l.kind, l.namespace, index, tree.N, auditstore.ErrNotFound)
	}
	proof, err := tlog.ProveRecord(tree.N, index, l.Hashes(ctx, tree))
	if err != nil {
		return nil, nil, err
	}
	all, err := l.Bundle(ctx, tree.N, index>>torchwood.TileHeight)
	if err != nil {
		return nil, nil, err
	}
	entry := bytes.Clone(all[index%torchwood.TileWidth])
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return nil, nil, fmt.Errorf("entry %d of %s of %s: %w", index, l.kind, l.namespace, ErrInconsistent)
	}
	return entry, proof, nil
}

// Bundle returns the entries of tile n of a tree of so many, as they are on record; ErrInconsistent
// if they are no such tile. Nothing is proven of them.
func (l *Log) Bundle(ctx context.Context, size, n int64) ([][]byte, error) {
	if n < 0 || n<<torchwood.TileHeight >= size {
		return nil, fmt.Errorf("%s of %s: tile %d of a tree of %d: %w", l.kind, l.namespace, n, size, auditstore.ErrNotFound)
	}
	t := tileOf(entries, n, size)
	data, err := l.readTile(ctx, t)
	if err != nil {
		return nil, err
	}
	return split(data, t)
}

// tileOf is tile n of a level in a tree of so many entries, which must reach it.
func tileOf(level int, n, size int64) tlog.Tile {
	width := size>>(torchwood.TileHeight*max(level, 0)) - n<<torchwood.TileHeight
	return tlog.Tile{H: torchwood.TileHeight, L: level, N: n, W: int(min(width, torchwood.TileWidth))}
}

// File returns one of the plain files of the log by its C2SP path: "checkpoint", "tile/0/000".
// auditstore.ErrNotFound if there is none. A part of a tile that is full is cut from it.
func (l *Log) File(ctx context.Context, path string) ([]byte, error) {
	if path == mirror {
		return l.files.Get(ctx, l.name(mirror), maxNoteBytes)
	}
	t, err := torchwood.ParseTilePath(path)
	if err != nil {
		return nil, fmt.Errorf("%.100q: %w", path, auditstore.ErrNotFound)
	}
	return l.readTile(ctx, t)
}
