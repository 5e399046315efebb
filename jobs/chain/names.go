package chain

import (
	"bytes"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// pair is what a name says beside the epoch.
type pair struct{ previous, digest validator.Digest }

func (p pair) name() verdict.ChainName {
	return verdict.ChainName{PreviousDigest: p.previous.String(), Digest: p.digest.String()}
}

func comparePairs(a, b pair) int {
	if c := bytes.Compare(a.previous[:], b.previous[:]); c != 0 {
		return c
	}
	return bytes.Compare(a.digest[:], b.digest[:])
}

// readKey reads a key as the name of an epoch's batch, as leniently as the akd crate does.
// Canonical says that the epoch is written as all do; the keys of such an epoch stand together in a
// listing.
func readKey(key string) (name validator.Name, canonical, ok bool) {
	if name, err := fetcher.ReadKey(key); err == nil {
		return name, key[0] != '+' && key[0] != '0', name.Epoch > 0 && name.Epoch <= verdict.MaxEpoch
	}
	return name, false, false
}

// isFolder reports whether an object only stands for an epoch's folder, as S3 consoles create them.
func isFolder(o *blob.ListObject) bool {
	parts := strings.Split(o.Key[:min(len(o.Key), 200)], "/")
	_, err := validator.ParseEpoch(parts[0])
	return err == nil && o.Size == 0 && len(parts) > 1 && len(parts) <= 3 && parts[len(parts)-1] == ""
}

// shardNames are the names of a shard's epochs.
type shardNames struct {
	shard uint64
	first [verdict.EpochsPerShard]pair // of each epoch that has one
	has   [verdict.EpochsPerShard]bool
	more  map[int][]pair // others of the same epoch, up to MaxChainNames
	over  map[int]int    // how many beyond those
}

func (s *shardNames) add(epoch uint64, p pair) {
	i := int(epoch % verdict.EpochsPerShard)
	switch {
	case !s.has[i]:
		s.has[i], s.first[i] = true, p
	case s.first[i] == p || slices.Contains(s.more[i], p): // in another compression, or written otherwise
	case len(s.more[i])+1 < verdict.MaxChainNames:
		if s.more == nil {
			s.more = map[int][]pair{}
		}
		s.more[i] = append(s.more[i], p)
	default:
		if s.over == nil {
			s.over = map[int]int{}
		}
		s.over[i]++
	}
}

// piece returns the names as they are recorded: the same bytes for the same names, in whatever
// order they came.
func (s *shardNames) piece(namespace string) verdict.ChainPiece {
	p := verdict.ChainPiece{Schema: verdict.Schema, Namespace: namespace, Shard: s.shard, Runs: []verdict.ChainRun{}}
	before := -1 // the epoch that the last run ends with
	for i := range s.has {
		epoch := s.shard*verdict.EpochsPerShard + uint64(i)
		switch {
		case !s.has[i]:
		case len(s.more[i]) > 0:
			pairs := append([]pair{s.first[i]}, s.more[i]...)
			slices.SortFunc(pairs, comparePairs)
			double := verdict.ChainDouble{Epoch: epoch, More: s.over[i]}
			for _, pair := range pairs {
				double.Names = append(double.Names, pair.name())
			}
			p.Doubles = append(p.Doubles, double)
		case before >= 0 && before == i-1 && s.first[before].digest == s.first[i].previous:
			run := &p.Runs[len(p.Runs)-1]
			run.To, run.Digests = epoch, append(run.Digests, s.first[i].digest[:]...)
			before = i
		default:
			p.Runs = append(p.Runs, verdict.ChainRun{
				From: epoch, To: epoch, PreviousDigest: s.first[i].previous.String(), Digests: slices.Clone(s.first[i].digest[:]),
			})
			before = i
		}
	}
	return p
}

// isFull reports whether each epoch of the piece's shard has one batch and continues the one
// before.
func isFull(p verdict.ChainPiece) bool {
	from, to := verdict.ShardRange(p.Shard)
	return len(p.Doubles) == 0 && len(p.Runs) == 1 && p.Runs[0].From == from && p.Runs[0].To == to
}

// size is about how many bytes a piece takes in memory.
func size(p verdict.ChainPiece) int {
	n := 256
	for _, r := range p.Runs {
		n += 160 + len(r.Digests)
	}
	for _, d := range p.Doubles {
		n += 64 + 192*len(d.Names)
	}
	return n
}

func digitsOf(n uint64) (digits int) {
	for ; n > 0; n /= 10 {
		digits++
	}
	return digits
}
