// Package simlog writes simulated Key Transparency logs for demonstrations, tests and measurements.
//
// It promises that a simulated log grows like a real one, that its proofs are what the akd crate
// would publish for the same tree, so that akd accepts all that are not tampered with, and that
// equal Options give equal bytes. Its tree code shares nothing with the validator's, so that each
// checks the other.
//
// It leaves to others how fast a log publishes, and what an audit of it must say beyond Expected.
package simlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob"
)

// Log is a simulated log that publishes one epoch after another. It is not safe for concurrent use.
type Log struct {
	o         Options
	publisher publisher
	hash      *hasher
	tree      *tree
	next      uint64 // the next epoch
	past      value  // the digest before the first epoch
	failed    error
}

// Epoch is what was published as one epoch. If it was tampered with, Name has the digests of the
// log's own tree.
type Epoch struct {
	Name validator.Name
	// Kind says how the epoch was tampered with, if it was.
	Kind Kind
	// Objects are the keys of the published proofs: one, but none if missing and two if
	// equivocating.
	Objects []string
	// Inserted, Unchanged and Bytes count what the proof holds; StoredBytes is its size after
	// compression. If there are two proofs, they describe the one with that Name.
	Inserted    int
	Unchanged   int
	Bytes       int64
	StoredBytes int64
}

// Open prepares a log that publishes proofs to proofs, as "{epoch}/{previous digest}/{digest}" with
// the extension of a compression, and signed digests to signatures, as "{epoch}.json". It publishes
// the signed digest of the epoch before the first. Without a signing key, signatures may be nil.
func Open(ctx context.Context, proofs, signatures *blob.Bucket, o Options) (*Log, error) {
	l, err := prepare(ctx, proofs, signatures, o)
	if err != nil {
		return nil, err
	}
	return l, l.signPast(ctx)
}

// prepare returns a log that has published nothing.
func prepare(ctx context.Context, proofs, signatures *blob.Bucket, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.SigningKey != nil && signatures == nil {
		return nil, fmt.Errorf("a signing key, but no bucket for signed digests")
	}
	h, err := newHasher(o.Configuration)
	if err != nil {
		return nil, err
	}
	l := &Log{o: o, publisher: publisher{proofs: proofs, signatures: signatures, o: o}, hash: h, tree: newTree(h), next: o.First}
	if err := l.buildPast(ctx); err != nil {
		return nil, err
	}
	l.past = l.tree.digest()
	return l, nil
}

// signPast publishes the signed digest of the epoch before the first.
func (l *Log) signPast(ctx context.Context) error {
	return l.publisher.sign(ctx, l.o.First-1, l.past, "")
}

// buildPast builds the tree as it is before the first epoch.
func (l *Log) buildPast(ctx context.Context) error {
	before := l.o.First - 1
	switch {
	case l.o.DirectorySize > 0:
		labels := make([]label, 0, l.o.Epochs*uint64(l.o.Insertions))
		for epoch := l.o.First; epoch < l.o.First+l.o.Epochs; epoch++ {
			for _, b := range l.batch(epoch) {
				labels = append(labels, b.label)
			}
		}
		slices.SortFunc(labels, func(a, b label) int { return a.compare(&b) })
		return fillLarge(ctx, l.tree, l.o.DirectorySize, labels, before, newRandom(l.o.Seed, "directory", 0))
	case before > 0:
		if _, err := l.insert(l.batch(before), before); err != nil {
			return fmt.Errorf("first load: %w", err)
		}
		l.tree.rehash(before)
	}
	return nil
}

// batch returns what an honest log inserts in epoch. It depends on Options only, so that the paths
// of all later epochs are known when a large directory is made.
func (l *Log) batch(epoch uint64) []insertion {
	r := newRandom(l.o.Seed, "insertions", epoch)
	if l.firstLoad(epoch) {
		return insertions(r, l.o.FirstLoad, 0, l.hash.stale)
	}
	rotations := int(float64(l.o.Insertions) * l.o.RotationShare / 2)
	return insertions(r, l.o.Insertions, rotations, l.hash.stale)
}

// firstLoad reports whether epoch is the one that fills the empty directory.
func (l *Log) firstLoad(epoch uint64) bool {
	return l.o.DirectorySize == 0 && epoch == max(1, l.o.First-1)
}

func (l *Log) insert(batch []insertion, epoch uint64) (leaves []uint32, err error) {
	leaves = make([]uint32, len(batch))
	for i, b := range batch {
		if leaves[i], err = l.tree.insert(b.label, b.length, l.hash.leaf(b.commitment, epoch), epoch); err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

// Next publishes the next epoch, its proof first and then its signed digest. After an error Next
// returns the same error for ever, because the tree is ahead of what was published.
func (l *Log) Next(ctx context.Context) (Epoch, error) {
	if l.failed != nil {
		return Epoch{}, l.failed
	}
	if err := ctx.Err(); err != nil {
		return Epoch{}, err // nothing has changed yet
	}
	if l.o.DirectorySize > 0 && l.next-l.o.First >= l.o.Epochs {
		return Epoch{}, fmt.Errorf("epoch %d: the large directory was made for %d epochs", l.next, l.o.Epochs)
	}
	e, err := l.publish(ctx, l.next)
	if err != nil {
		l.failed = fmt.Errorf("simulating epoch %d: %w", l.next, err)
		return Epoch{}, l.failed
	}
	l.next++
	return e, nil
}

func (l *Log) publish(ctx context.Context, epoch uint64) (Epoch, error) {
	kind := l.o.Tamper[epoch]
	e := Epoch{Kind: kind, Name: validator.Name{Epoch: epoch, PreviousDigest: validator.Digest(l.tree.digest())}}
	p := l.proof(epoch)
	if err := p.beforeInsert(kind, newRandom(l.o.Seed, "tampering", epoch)); err != nil {
		return e, err
	}
	leaves, err := l.insert(p.batch, epoch)
	if err != nil {
		return e, err
	}
	if kind == Equivocate {
		if err := l.fork(ctx, p, &e, leaves[0]); err != nil {
			return e, err
		}
	}
	l.tree.rehash(epoch)
	e.Name.Digest = validator.Digest(l.tree.digest())
	p.afterRehash(kind)
	if kind != Missing {
		if err := l.publisher.publish(ctx, p, &e); err != nil {
			return e, err
		}
	}
	return e, l.publisher.sign(ctx, epoch, l.tree.digest(), kind)
}

func (l *Log) proof(epoch uint64) *proof {
	return &proof{tree: l.tree, epoch: epoch, batch: l.batch(epoch)}
}

// fork publishes the epoch as it would be with another value for one key. The tree must be rehashed
// afterwards.
func (l *Log) fork(ctx context.Context, p *proof, e *Epoch, leaf uint32) error {
	first := &p.batch[0].commitment
	first[0] ^= 1
	defer func() {
		first[0] ^= 1
		l.tree.nodes.at(leaf).value = l.hash.leaf(*first, p.epoch)
	}()
	l.tree.nodes.at(leaf).value = l.hash.leaf(*first, p.epoch)
	l.tree.rehash(p.epoch)
	e.Name.Digest = validator.Digest(l.tree.digest())
	return l.publisher.publish(ctx, p, e)
}

// Summary is what Write published.
type Summary struct {
	First, Last            uint64
	PreviousDigest, Digest validator.Digest // before First and after Last
	Epochs, Objects        int
	Inserted, Unchanged    int
	Bytes, StoredBytes     int64
}

// Write publishes the o.Epochs epochs of a log; see Open. What is there of the log already is
// checked and kept; see Continue. It calls progress, which may be nil, after each epoch.
func Write(ctx context.Context, proofs, signatures *blob.Bucket, o Options, progress func(done, total uint64)) (Summary, error) {
	l, err := prepare(ctx, proofs, signatures, o)
	if err != nil {
		return Summary{}, err
	}
	if _, err := l.newest(ctx); err != nil {
		return Summary{}, err
	}
	if err := l.signPast(ctx); err != nil {
		return Summary{}, err
	}
	s := Summary{First: l.o.First, PreviousDigest: validator.Digest(l.tree.digest())}
	for done := uint64(1); done <= l.o.Epochs; done++ {
		e, err := l.Next(ctx)
		if err != nil {
			return s, err
		}
		s.Last, s.Digest = e.Name.Epoch, e.Name.Digest
		s.Epochs++
		s.Objects += len(e.Objects)
		s.Inserted += e.Inserted
		s.Unchanged += e.Unchanged
		s.Bytes += e.Bytes
		s.StoredBytes += e.StoredBytes
		if progress != nil {
			progress(done, l.o.Epochs)
		}
	}
	return s, nil
}
