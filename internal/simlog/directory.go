package simlog

import (
	"context"
	"sort"
)

// fillLarge fills an empty tree with a directory of size leaves. The tree holds only what later
// proofs can show: the paths that the given labels, sorted, will take, and the roots of the
// subtrees beside them.
//
// Nothing is lost by that. The leaves of a directory lie at random, so random draws of how many of
// them are on each side of every fork of a path are enough. No proof ever shows the inside of a
// subtree that no path enters, so 32 random bytes serve as its root. The tree is one that such a
// directory could have, it stays the same over all epochs that insert these labels, and it costs
// memory for these epochs only.
func fillLarge(ctx context.Context, t *tree, size uint64, labels []label, epoch uint64, r *random) error {
	s := filler{ctx: ctx, tree: t, random: r, epoch: epoch}
	t.root().epoch = epoch
	var left, right label
	right.setBit(0)
	split := firstRight(labels, 0)
	heads := r.half(size)
	t.root().kids = [2]uint32{
		s.subtree(left, 1, heads, labels[:split]),
		s.subtree(right, 1, size-heads, labels[split:]),
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.rehash(epoch)
	return nil
}

type filler struct {
	ctx    context.Context
	tree   *tree
	random *random
	epoch  uint64
}

// subtree returns the node that holds all size leaves whose labels begin with depth bits of prefix;
// labels are those that later epochs insert below it. The node's own label is longer than prefix if
// all its leaves share more bits than that.
func (s *filler) subtree(prefix label, depth uint16, size uint64, labels []label) uint32 {
	if size == 0 {
		return none
	}
	if len(labels) == 0 {
		return s.closed(prefix, depth, size)
	}
	if len(labels) > 1000 && s.ctx.Err() != nil {
		return none // the tree will not be used
	}
	split := firstRight(labels, depth)
	heads := s.random.half(size)
	right := prefix
	right.setBit(depth)
	kids := [2]uint32{
		s.subtree(prefix, depth+1, heads, labels[:split]),
		s.subtree(right, depth+1, size-heads, labels[split:]),
	}
	switch {
	case kids[0] == none:
		return kids[1]
	case kids[1] == none:
		return kids[0]
	}
	shared := s.tree.nodes.at(kids[0]).label
	return s.tree.nodes.add(node{epoch: s.epoch, kids: kids, label: shared, length: depth})
}

// closed returns a leaf, or the root of a subtree that is not held. Its label is what its leaves
// share.
func (s *filler) closed(prefix label, depth uint16, size uint64) uint32 {
	if size == 1 {
		return s.tree.addLeaf(s.random.below(prefix, depth), maxLength, s.random.value(), s.epoch)
	}
	for ; depth < maxLength-1; depth++ {
		heads := s.random.half(size)
		if heads == 0 {
			prefix.setBit(depth)
		} else if heads < size {
			break
		}
	}
	return s.tree.addLeaf(prefix, depth, s.random.value(), s.epoch)
}

// firstRight returns the index of the first of the sorted labels, all of which agree before it,
// that has bit depth set.
func firstRight(labels []label, depth uint16) int {
	return sort.Search(len(labels), func(i int) bool { return labels[i].bit(depth) == 1 })
}
