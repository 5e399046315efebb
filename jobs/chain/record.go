package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// maxReach is how many epochs may be missing between two that are taken for one history.
	maxReach = 10_000
	// minCluster is how many epochs far from all others are history all the same.
	minCluster = 1_000
)

// finished takes in the names of a shard, all of which are known now.
func (k *walk) finished(ctx context.Context, p verdict.ChainPiece) error {
	if isFull(p) {
		return k.record(ctx, p)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pendingSize += size(p); k.pendingSize > k.bounds.pending {
		return fmt.Errorf("the names of more than %d shards have gaps or several batches, which is more than is kept in memory: nothing was concluded", len(k.pending))
	}
	k.pending = append(k.pending, p)
	return nil
}

// recordPending records the shards that are not whole. In a walk of the whole log those that are
// far from all others are not history: to name an epoch costs a log next to nothing, and to record
// a shard costs us an object. An extension leaves them as they are until the next such walk.
func (k *walk) recordPending(ctx context.Context, whole bool) error {
	slices.SortFunc(k.pending, func(a, b verdict.ChainPiece) int { return cmp.Compare(a.Shard, b.Shard) })
	history := map[uint64]bool{}
	if whole {
		for _, p := range k.pending {
			k.entries = append(k.entries, p.Entry())
		}
		k.sortEntries()
		var near []verdict.ChainEntry
		near, k.result.Chain.Far = historyOf(k.entries, k.First)
		for _, e := range near {
			history[e.Shard] = true
		}
		k.entries = slices.DeleteFunc(k.entries, func(e verdict.ChainEntry) bool { return e.Generation == 0 })
	}
	for _, p := range k.pending {
		switch {
		case !whole:
			e := p.Entry()
			known := k.base.Find(p.Shard)
			e.Generation, e.SHA256 = known.Generation, known.SHA256
			k.addEntry(e, p)
		case history[p.Shard] || k.base.Find(p.Shard).Generation > 0:
			if err := k.record(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *walk) sortEntries() {
	slices.SortFunc(k.entries, func(a, b verdict.ChainEntry) int { return cmp.Compare(a.Shard, b.Shard) })
}

// historyOf splits entries, ascending, into history and what is far from it. Whole shards count as
// history: they cost a log as many names.
func historyOf(entries []verdict.ChainEntry, first uint64) (near []verdict.ChainEntry, far verdict.ChainFar) {
	type cluster struct {
		entries     []verdict.ChainEntry
		epochs      uint64
		from, until uint64
	}
	var clusters []cluster
	for _, e := range entries {
		from, to := e.Bounds()
		if n := len(clusters); n > 0 && from <= clusters[n-1].until+maxReach {
			c := &clusters[n-1]
			c.entries, c.epochs, c.until = append(c.entries, e), c.epochs+e.Epochs(), to
			continue
		}
		clusters = append(clusters, cluster{[]verdict.ChainEntry{e}, e.Epochs(), from, to})
	}
	large := slices.ContainsFunc(clusters, func(c cluster) bool { return c.epochs >= minCluster })
	started := false // the beginning of the history is history, too
	for _, c := range clusters {
		begins := !started && (first > 0 && c.until >= first && c.from <= first+maxReach || first == 0 && !large)
		if c.epochs >= minCluster || begins {
			started = true
			near = append(near, c.entries...)
			continue
		}
		if far.Count == 0 {
			far.From = c.from
		}
		far.Count, far.To = far.Count+c.epochs, c.until
	}
	return near, far
}

// record puts a shard's names on record, unless they are there.
//
// Names on record that have changed are evidence and an alert first, and a generation of their own
// then. A crash between them leaves the older generation as the newest: the next walk finds the
// same change, whose evidence and alert exist once, however often it is found. A crash after the
// piece leaves one that the chain does not mention: the next walk writes the same bytes, or finds
// by their name that others are there, and goes on from those.
func (k *walk) record(ctx context.Context, p verdict.ChainPiece) error {
	hash, err := auditstore.ChainPieceHash(p)
	if err != nil {
		return fmt.Errorf("names of shard %d: %w", p.Shard, err)
	}
	known := k.base.Find(p.Shard)
	if known.SHA256 == hash {
		k.addEntry(known, p)
		return nil
	}
	generation := known.Generation
	if generation == 0 {
		if generation, err = k.newestGeneration(ctx, p.Shard); err != nil {
			return err
		}
	}
	for ; ; generation++ {
		if generation > 0 {
			on, onHash, err := k.Store.ChainPiece(ctx, k.Namespace, p.Shard, generation)
			if err != nil {
				return fmt.Errorf("names on record: %w", err)
			}
			if onHash == hash {
				k.added(known, p, generation, hash)
				return nil
			}
			ok, err := k.compare(ctx, on, generation, onHash, p)
			if err != nil {
				return err
			}
			if ok && generation >= auditstore.MaxChainGenerations {
				k.Logger.Warn().Uint64("shard", p.Shard).
					Msg("names of this shard were recorded so often that further ones, which came late, are not")
				ok = false
			}
			if !ok { // what is on record stays so
				e := on.Entry()
				e.Generation, e.SHA256 = generation, onHash
				k.addEntry(e, on)
				return nil
			}
		}
		_, err := k.Store.PutChainPiece(ctx, p, generation+1)
		if err == nil {
			k.added(known, p, generation+1, hash)
			return nil
		}
		if !errors.Is(err, auditstore.ErrDiffers) {
			return err
		}
		// Another walk has written one since: the newest one counts.
		newest, listErr := k.newestGeneration(ctx, p.Shard)
		if listErr != nil {
			return listErr
		}
		if newest > 0 {
			generation = max(generation, newest-1)
		}
	}
}

// newestGeneration returns the newest generation of a shard's names, 0 if there is none. There may
// be some that the chain does not know, of a walk that was killed or from before it was lost.
func (k *walk) newestGeneration(ctx context.Context, shard uint64) (uint64, error) {
	all, err := k.Store.ChainGenerations(ctx, k.Namespace, shard)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}

// added notes that a generation has a shard's names.
func (k *walk) added(known verdict.ChainEntry, p verdict.ChainPiece, generation uint64, hash string) {
	e := p.Entry()
	e.Generation, e.SHA256 = generation, hash
	k.addEntry(e, p)
	k.mu.Lock()
	k.wrote = k.wrote || known.SHA256 != hash
	k.mu.Unlock()
}

// addEntry notes what the chain says of a shard.
func (k *walk) addEntry(e verdict.ChainEntry, p verdict.ChainPiece) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = append(k.entries, e)
	on := k.base.Find(p.Shard).Doubles
	for _, d := range p.Doubles {
		// Those on record were told of, and must not take the place of new ones.
		if len(k.doubles) < maxAccusations && !slices.Contains(on, d.Epoch) {
			k.doubles[d.Epoch] = d.Names
		}
	}
}

// recordVanished compares the shards on record of which the log names no epoch any more.
func (k *walk) recordVanished(ctx context.Context) error {
	seen := map[uint64]bool{}
	for _, e := range k.entries {
		seen[e.Shard] = true
	}
	for _, e := range k.base.Shards {
		if e.Generation == 0 || seen[e.Shard] {
			continue
		}
		err := k.record(ctx, verdict.ChainPiece{Schema: verdict.Schema, Namespace: k.Namespace, Shard: e.Shard, Runs: []verdict.ChainRun{}})
		if err != nil {
			return err
		}
	}
	return nil
}

// finish raises what the walk shows and records the sum of what is known, after which the walk is
// done. An extension that found nothing but a few more epochs is not worth a new version.
//
// Evidence and alerts come before the chain. After a crash between them the next walk finds the
// same, and each exists once.
func (k *walk) finish(ctx context.Context, whole bool) (Result, error) {
	k.sortEntries()
	r := k.result
	r.Requests = int(k.lister.requests.Load())
	base := k.base
	for attempt := 0; ; attempt++ {
		next := base
		if whole {
			next.Shards = nil
		}
		next = next.With(k.entries)
		next.WalkedAt, next.Strays, next.Far = r.Chain.WalkedAt, r.Chain.Strays, r.Chain.Far
		found, err := k.accuse(ctx, base, next)
		if err != nil {
			return k.partial(), err
		}
		if !whole && !k.wrote && found == 0 {
			r.Chain = next
			return r, nil
		}
		written, err := k.Store.PutChain(ctx, next)
		if err == nil {
			r.Chain = written
			return r, nil
		}
		if !errors.Is(err, auditstore.ErrDiffers) || attempt == attempts {
			return k.partial(), err
		}
		// Another walk was first. What it found on the same shards is as good; a whole walk that
		// began later knows more.
		if base, err = k.Store.Chain(ctx, k.Namespace); err != nil {
			return k.partial(), err
		}
		if whole && base.WalkedAt.After(r.Chain.WalkedAt) {
			r.Chain = base
			return r, nil
		}
		if !whole {
			r.Chain.WalkedAt, r.Chain.Strays, r.Chain.Far = base.WalkedAt, base.Strays, base.Far
		}
	}
}
