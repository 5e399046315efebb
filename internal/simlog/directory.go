package simlog

import (
	"context"
	"sort"
)

// seal fills an empty tree with a directory of size leaves, of which it holds only what the proofs of its future can
// show: the paths that the given labels, sorted, will take, and the roots of the subtrees beside these paths.
//
// Nothing is lost by that. The leaves of a directory lie at random, so it is enough to toss coins for how many of them
// fall on each side of every fork on a path; the root of a subtree that no path enters is a hash that nobody will ever
// open, which is as good as 32 random bytes. The tree is one that such a directory could have, it stays the same tree
// over all epochs that insert these labels, and costs memory for these epochs only, not for the directory.
func seal(ctx context.Context, t *tree, size uint64, labels []label, epoch uint64, r *random) error {
	s := sealer{ctx: ctx, tree: t, random: r, epoch: epoch}
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

type sealer struct {
	ctx    context.Context
	tree   *tree
	random *random
	epoch  uint64
}

// subtree returns the node that holds all size leaves whose labels begin with depth bits of prefix; labels are those of
// the future among them. The node's own label is longer than prefix if all its leaves share more bits than that.
func (s *sealer) subtree(prefix label, depth uint16, size uint64, labels []label) uint32 {
	if size == 0 {
		return none
	}
	if len(labels) == 0 {
		return s.sealed(prefix, depth, size)
	}
	if len(labels) > 1000 && s.ctx.Err() != nil {
		return none // the tree is thrown away
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

// sealed returns a leaf or the root of a subtree that is not held. Its label is as long as all of its leaves agree.
func (s *sealer) sealed(prefix label, depth uint16, size uint64) uint32 {
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

// firstRight returns the index of the first of the sorted labels, all of which agree before it, that has bit depth set.
func firstRight(labels []label, depth uint16) int {
	return sort.Search(len(labels), func(i int) bool { return labels[i].bit(depth) == 1 })
}
