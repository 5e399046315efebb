package transparency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Advance appends what is due, at most limit entries, and signs the new tree. It returns the newest
// checkpoint, also if nothing was due; ErrNoCheckpoint if there is none. What was planned before is
// finished first, whatever the limit.
//
// The signer's name is the origin. own is what checkpoints signed before must satisfy: see Own. If
// they don't, the error is an ErrNotOurs. A *ForkError if the tree would not extend what was
// signed, or what is planned or on record is not what it was. Other errors may pass.
//
// Any number of processes may do this at once, and be killed at any time:
//
//   - A plan is the only decision. Generation g+1 of the plans is created once, says the size and
//     the root, and which epochs are absent. Verdicts, absences and events are created once, too,
//     so that a plan determines every byte of the tiles: whoever writes them, and however often,
//     writes the same. A crash before it leaves nothing; after it, whoever comes next finishes it.
//   - It is the plan g+1 that counts, and no other was or will be, if the newest checkpoint was
//     still g after the plan was read or created. For plan g+2 needs checkpoint g+1, and plans are
//     swept many generations later. A process that slept since and creates a plan whose name is
//     free again finds newer checkpoints, and leaves it alone.
//   - Tiles are created once, the lowest first, and compared if they are there. Nobody looks at
//     them before there is a checkpoint of a tree that has them.
//   - Then the tiles are read back, and must prove that the planned tree extends the one of
//     checkpoint g. So a checkpoint is signed only if the tree up to it is there and whole.
//   - Checkpoint g+1 is created once, and everybody signs the same text for g+1. A crash before it
//     leaves the plan and some tiles, and whoever comes next goes through all steps again.
//   - Sweeping, and removing parts of tiles that are full now, comes last and may be left out.
func (l *Log) Advance(ctx context.Context, signer note.Signer, own torchwood.Policy, limit int) (Checkpoint, error) {
	s, err := l.source(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	// The plan is read before the checkpoint. The other way round, another process might make both
	// in between, and the plan would seem to have no checkpoint before it.
	p, err := l.newestPlan(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	base, err := l.signed(ctx, own)
	if err != nil {
		return Checkpoint{}, err
	}
	a := appending{source: s, base: base, signer: signer, own: own}
	switch {
	case p.Generation > base.Generation+1:
		return Checkpoint{}, l.gone(ctx, base.Tree, p.Generation-1)
	case p.Generation == base.Generation+1:
		return a.finish(ctx, p, nil)
	}
	due, absent, err := s.due(ctx, base.N, limit)
	if err != nil {
		return Checkpoint{}, err
	}
	due, absent = a.whole(due, absent, limit)
	if len(due) == 0 {
		if base.Generation == 0 {
			err = fmt.Errorf("%s of %s: %w", l.kind, l.namespace, ErrNoCheckpoint)
		}
		return base, err
	}
	return a.begin(ctx, due, absent)
}

// signed returns the newest checkpoint, whose signature is right; of generation 0 if there is none.
// It must extend what this process has seen before.
func (l *Log) signed(ctx context.Context, own torchwood.Policy) (Checkpoint, error) {
	l.mu.Lock()
	seen := l.seen // before the newest one is looked for, so that it cannot be a newer one
	l.mu.Unlock()
	c, err := l.Newest(ctx)
	if errors.Is(err, ErrNoCheckpoint) {
		c, err = Checkpoint{}, nil
	} else if err == nil {
		err = c.Verify(own)
	}
	switch {
	case err != nil:
		return Checkpoint{}, err
	case c.Tree == seen.Tree:
		return c, nil
	case c.N < seen.N:
		return Checkpoint{}, l.gone(ctx, seen.Tree, seen.Generation)
	}
	if err := l.extends(ctx, c.Tree, seen.Tree); err != nil {
		return Checkpoint{}, err
	}
	l.see(c)
	return c, nil
}

// gone says what follows from a checkpoint that must have been signed and is not listed: a
// *ForkError if it is not there, and otherwise that the listing is an old one.
func (l *Log) gone(ctx context.Context, signed tlog.Tree, generation uint64) error {
	_, err := l.checkpoint(ctx, checkpoints, generation)
	if errors.Is(err, auditstore.ErrNotFound) {
		return l.fork(signed, "checkpoint %d, which was signed, is gone", generation)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s of %s: checkpoint %d is there and not listed: the audit store lists what was, try again", l.kind, l.namespace, generation)
}

// see remembers a checkpoint.
func (l *Log) see(c Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.N > l.seen.N {
		l.seen = c
	}
}

// extends proves from the tiles that a tree extends an older one; a *ForkError if it does not.
func (l *Log) extends(ctx context.Context, tree, old tlog.Tree) error {
	proof, err := l.Consistency(ctx, tree, old.N)
	switch {
	case errors.Is(err, ErrInconsistent), errors.Is(err, auditstore.ErrNotFound):
		return l.fork(old, "the tiles do not prove that the tree of size %d extends it: %v", tree.N, err)
	case err != nil:
		return err
	case old.N == 0:
		return nil
	case old.N == tree.N:
		if old.Hash != tree.Hash {
			return l.fork(old, "another tree has the same size")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return l.fork(old, "the tree of size %d does not extend it", tree.N)
	}
	return nil
}

func (l *Log) fork(signed tlog.Tree, format string, args ...any) error {
	return &ForkError{l.namespace, l.kind, signed, fmt.Sprintf(format, args...)}
}

// Verify returns nil if a checkpoint satisfies a policy; ErrNotOurs otherwise.
func (c Checkpoint) Verify(p torchwood.Policy) error {
	read, _, err := torchwood.VerifyCheckpoint(c.Note, p)
	if err == nil && (read.Tree != c.Tree || read.Origin != c.Origin) {
		err = errors.New("its text is another one")
	}
	if err != nil {
		return fmt.Errorf("checkpoint %d, of %.100q: %w: %w", c.Generation, c.Origin, ErrNotOurs, err)
	}
	return nil
}

// appending is one step of a log, from the checkpoint base on.
type appending struct {
	source
	base   Checkpoint
	signer note.Signer
	own    torchwood.Policy
}

func (a *appending) fork(format string, args ...any) error {
	return a.log.fork(a.base.Tree, format, args...)
}

// whole leaves off what would begin another tile, if the limit rather than the end of what is due
// was reached: so most tiles are written once.
func (a *appending) whole(due [][]byte, absent []uint64, limit int) ([][]byte, []uint64) {
	end := (a.base.N + int64(len(due))) &^ (torchwood.TileWidth - 1)
	if len(due) < min(limit, MaxAppend) || end <= a.base.N {
		return due, absent
	}
	n := end - a.base.N
	i, _ := slices.BinarySearch(absent, a.first+uint64(end))
	return due[:n], absent[:i]
}

// begin plans a generation with some entries, or takes up the plan that another process has made
// meanwhile, and finishes it.
func (a *appending) begin(ctx context.Context, due [][]byte, absent []uint64) (Checkpoint, error) {
	g, err := a.grow(ctx, due)
	if err != nil {
		return Checkpoint{}, err
	}
	p := plan{
		Schema: verdict.Schema, Namespace: a.log.namespace, Log: a.log.kind, Generation: a.base.Generation + 1,
		From: headOf(a.base.Tree), To: headOf(g.tree), Absent: absent,
	}
	data, err := p.encode()
	if err != nil {
		return Checkpoint{}, err
	}
	on, err := a.log.files.Put(ctx, a.log.planName(p.Generation), data, maxPlanBytes)
	if err != nil {
		return Checkpoint{}, err
	}
	newest, err := a.log.files.Newest(ctx, a.log.name(checkpoints))
	if err != nil {
		return Checkpoint{}, err
	}
	if newest != a.base.Generation {
		return a.log.signed(ctx, a.own) // others have gone on: the plan is an old one
	}
	if bytes.Equal(on, data) {
		return a.finish(ctx, p, g)
	}
	if p, err = a.log.readPlan(on, p.Generation); err != nil {
		return Checkpoint{}, err
	}
	return a.finish(ctx, p, nil)
}

// finish carries out a plan and signs its tree. g is what it comes to, if that is known.
func (a *appending) finish(ctx context.Context, p plan, g *growth) (Checkpoint, error) {
	if p.From.tree() != a.base.Tree {
		return Checkpoint{}, a.fork("plan %d goes on from another tree, of size %d", p.Generation, p.From.Size)
	}
	if g == nil {
		due, err := a.planned(ctx, p)
		if auditstore.IsLost(err) {
			return Checkpoint{}, a.fork("an entry of plan %d is gone: %v", p.Generation, err)
		}
		if err != nil {
			return Checkpoint{}, err
		}
		if g, err = a.grow(ctx, due); err != nil {
			return Checkpoint{}, err
		}
	}
	if g.tree != p.To.tree() {
		return Checkpoint{}, a.fork("the entries up to size %d are not those of plan %d", g.tree.N, p.Generation)
	}
	if err := a.write(ctx, g); err != nil {
		return Checkpoint{}, err
	}
	if err := a.log.extends(ctx, g.tree, a.base.Tree); err != nil {
		return Checkpoint{}, err
	}
	return a.sign(ctx, p)
}

// sign is the commit point: see Advance.
func (a *appending) sign(ctx context.Context, p plan) (Checkpoint, error) {
	text := torchwood.Checkpoint{Origin: a.signer.Name(), Tree: p.To.tree()}.String()
	data, err := note.Sign(&note.Note{Text: text}, a.signer)
	if err != nil {
		return Checkpoint{}, err
	}
	data, err = a.log.files.Put(ctx, a.log.checkpointName(checkpoints, p.Generation), data, maxNoteBytes)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := a.log.checkpointAt(data, checkpoints, p.Generation)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := c.Verify(a.own); err != nil {
		return Checkpoint{}, err
	}
	if c.Tree != p.To.tree() {
		return Checkpoint{}, a.fork("checkpoint %d is of another tree than its plan, of size %d", p.Generation, c.N)
	}
	a.log.see(c)
	a.log.files.Sweep(ctx, a.log.name(plans), p.Generation)
	a.log.files.Sweep(ctx, a.log.name(checkpoints), p.Generation)
	a.removeParts(ctx, c.Tree)
	return c, nil
}
