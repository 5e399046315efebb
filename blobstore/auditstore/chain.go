package auditstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// What is kept of walks of a log's names; the layout is
//
//	{namespace}/chain/{shard, 9 digits}/{generation, 6 digits}.json    a verdict.ChainPiece
//	{namespace}/chained/{counts down from MaxEpoch, 12 digits}.json    a verdict.Chain
const (
	chainPieces = "chain"
	chains      = "chained"
)

const (
	// MaxChainGenerations is how many versions of one shard's names are kept.
	MaxChainGenerations = 1000
	// maxChainPieceBytes caps a piece. The longest, of a thousand epochs of sixteen names each,
	// takes 2.6 MB.
	maxChainPieceBytes = 4 << 20
	// maxChainBytes caps a chain. Ten million epochs take 4 MB.
	maxChainBytes = 32 << 20
)

// PutChainPiece records a shard's names as a generation, from 1 on, once, and returns the SHA-256
// of its object, hexadecimal. ErrDiffers if other names are on record as that generation.
func (s *Store) PutChainPiece(ctx context.Context, p verdict.ChainPiece, generation uint64) (hash string, err error) {
	key, err := chainPieceKey(p.Namespace, p.Shard, generation)
	if err != nil {
		return "", err
	}
	data, err := encodeChainPiece(p)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return hashText(data), s.putSame(ctx, key, data, maxChainPieceBytes)
}

// ChainPieceHash returns the SHA-256, hexadecimal, of the object that PutChainPiece would write.
func ChainPieceHash(p verdict.ChainPiece) (string, error) {
	data, err := encodeChainPiece(p)
	return hashText(data), err
}

func encodeChainPiece(p verdict.ChainPiece) ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return encodeLine(p)
}

// ChainPiece returns a generation of a shard's names and the SHA-256 of its object, hexadecimal;
// ErrNotFound if there is none.
func (s *Store) ChainPiece(ctx context.Context, namespace string, shard, generation uint64) (verdict.ChainPiece, string, error) {
	key, err := chainPieceKey(namespace, shard, generation)
	if err != nil {
		return verdict.ChainPiece{}, "", err
	}
	data, err := s.get(ctx, key, maxChainPieceBytes)
	if err != nil {
		return verdict.ChainPiece{}, "", err
	}
	var p verdict.ChainPiece
	err = decodeLine(key, data, &p, &p.Schema, func() error {
		if p.Namespace != namespace || p.Shard != shard {
			return fmt.Errorf("names of shard %d of %q", p.Shard, p.Namespace)
		}
		return p.Validate()
	})
	return p, hashText(data), err
}

// ChainGenerations returns the generations of a shard's names that are on record, ascending, by one
// listing.
func (s *Store) ChainGenerations(ctx context.Context, namespace string, shard uint64) ([]uint64, error) {
	if _, err := chainPieceKey(namespace, shard, 1); err != nil {
		return nil, err
	}
	return s.numbers(ctx, shardPrefix(namespace, chainPieces, shard), "", func(name string) (uint64, bool) {
		name, isJSON := strings.CutSuffix(name, ".json")
		n, ok := verdict.ParsePadded(name, 6)
		return n, ok && isJSON && n > 0 && n <= MaxChainGenerations
	})
}

func chainPieceKey(namespace string, shard, generation uint64) (string, error) {
	if shard > verdict.MaxEpoch/verdict.EpochsPerShard {
		return "", fmt.Errorf("shard %d: the audit store's layout ends at %d", shard, uint64(verdict.MaxEpoch/verdict.EpochsPerShard))
	}
	if generation == 0 || generation > MaxChainGenerations {
		return "", fmt.Errorf("names of shard %d: generation %d: want 1 to %d", shard, generation, MaxChainGenerations)
	}
	return fmt.Sprintf("%s%06d.json", shardPrefix(namespace, chainPieces, shard), generation), verdict.CheckName("namespace", namespace)
}

// Chain returns what walks of a log's names have found; empty, of generation 0, if there was none.
// With an ErrCorrupt comes the generation of the one that cannot be read, so that another can be
// written after it.
func (s *Store) Chain(ctx context.Context, namespace string) (verdict.Chain, error) {
	c := verdict.Chain{Schema: verdict.Schema, Namespace: namespace}
	generation, err := s.readNewest(ctx, namespace, chains, maxChainBytes, func(key string, generation uint64, data []byte) error {
		var read verdict.Chain
		err := decodeLine(key, data, &read, &read.Schema, func() error {
			if read.Namespace != namespace || read.Generation != generation {
				return fmt.Errorf("chain %d of %q", read.Generation, read.Namespace)
			}
			return read.Validate()
		})
		if err == nil {
			c = read
		}
		return err
	})
	c.Generation = generation
	return c, err
}

// PutChain records c as the generation after c.Generation, and returns it so. ErrDiffers if another
// writer was first: read the chain again. Older ones are removed, as histories are.
func (s *Store) PutChain(ctx context.Context, c verdict.Chain) (verdict.Chain, error) {
	c.Schema = verdict.Schema
	c.Generation++
	c.WalkedAt = c.WalkedAt.UTC()
	c.Shards = slices.Clone(c.Shards)
	key := generationKey(c.Namespace, chains, c.Generation)
	if err := errors.Join(verdict.CheckKey(c.Namespace, c.Generation), c.Validate()); err != nil {
		return c, fmt.Errorf("%s: %w", key, err)
	}
	data, err := encodeLine(c)
	if err != nil {
		return c, err
	}
	return c, s.putNewest(ctx, c.Namespace, chains, c.Generation, data, maxChainBytes)
}
