package simlog

import (
	"fmt"
	"sync"
)

// none is the number of no node: that of the root, which is nobody's child.
const none uint32 = 0

// node is a node of the tree. An interior node has children; a leaf has none and a label of 256
// bits; a node without children and with a shorter label is a closed subtree, of which only its
// root's value is known.
type node struct {
	value  value
	epoch  uint64 // the last epoch that changed anything in this subtree
	kids   [2]uint32
	label  uint32 // number of a label that begins with this node's
	length uint16 // of this node's label, in bits
}

func (n *node) interior() bool { return n.kids != [2]uint32{} }

// tree is a binary Patricia trie. Inserting and removing leave values stale along the paths they
// touch; rehash makes them right again, once for a whole epoch.
type tree struct {
	hash   *hasher
	nodes  arena[node]
	labels arena[label]
}

// newTree returns a tree of nothing but a root, which always exists and may have fewer than two
// children.
func newTree(h *hasher) *tree {
	t := &tree{hash: h}
	t.nodes.add(node{value: h.emptyRoot, label: t.labels.add(label{})})
	return t
}

func (t *tree) root() *node { return t.nodes.at(none) }

func (t *tree) digest() value { return t.hash.digest(t.root().value) }

// element returns what a proof and a parent's hash show of a node.
func (t *tree) element(n *node) child {
	return child{n.value, t.labels.at(n.label).prefix(n.length), n.length}
}

// insert adds a leaf and returns its number. A label that is in the tree already, or that begins
// with the label of a closed subtree, is an error: the resulting tree is unknown.
func (t *tree) insert(l label, length uint16, v value, epoch uint64) (uint32, error) {
	above := none
	for {
		n := t.nodes.at(above)
		n.epoch = epoch
		side := l.bit(n.length)
		below := n.kids[side]
		if below == none {
			leaf := t.addLeaf(l, length, v, epoch)
			n.kids[side] = leaf
			return leaf, nil
		}
		k := t.nodes.at(below)
		shared := common(&l, t.labels.at(k.label), min(length, k.length))
		if shared < min(length, k.length) {
			leaf := t.addLeaf(l, length, v, epoch)
			fork := node{epoch: epoch, label: k.label, length: shared}
			fork.kids[l.bit(shared)] = leaf
			fork.kids[1-l.bit(shared)] = below
			n.kids[side] = t.nodes.add(fork)
			return leaf, nil
		}
		if !k.interior() || shared == length {
			return none, fmt.Errorf("label %x of %d bits meets a node of %d bits", l, length, k.length)
		}
		above = below
	}
}

func (t *tree) addLeaf(l label, length uint16, v value, epoch uint64) uint32 {
	return t.nodes.add(node{value: v, epoch: epoch, label: t.labels.add(l.prefix(length)), length: length})
}

// remove removes the subtree at the end of path, which begins with the root. Its sibling takes its
// parent's place. No honest log ever does this.
func (t *tree) remove(path []uint32, epoch uint64) {
	last := len(path) - 1
	gone, parent := path[last], path[last-1]
	for _, i := range path[:last] {
		t.nodes.at(i).epoch = epoch
	}
	if parent == none {
		t.replace(parent, gone, none)
		return
	}
	kids := t.nodes.at(parent).kids
	sibling := kids[0]
	if sibling == gone {
		sibling = kids[1]
	}
	t.replace(path[last-2], parent, sibling)
}

func (t *tree) replace(parent, from, to uint32) {
	n := t.nodes.at(parent)
	for side, kid := range n.kids {
		if kid == from {
			n.kids[side] = to
		}
	}
}

// rehash computes the values that the epochs from since on made stale: those of all interior nodes
// they touched.
func (t *tree) rehash(since uint64) {
	if r := t.root(); r.epoch >= since && !r.interior() {
		r.value = t.hash.emptyRoot
	}
	const forks = 6 // 64 goroutines keep all cores busy although subtrees differ in size
	t.rehashBelow(t.root(), since, forks)
}

func (t *tree) rehashBelow(n *node, since uint64, forks int) {
	if n.epoch < since || !n.interior() {
		return
	}
	left, right := n.kids[0], n.kids[1]
	if forks > 0 && left != none && right != none {
		var wg sync.WaitGroup
		wg.Go(func() { t.rehashBelow(t.nodes.at(left), since, forks-1) })
		t.rehashBelow(t.nodes.at(right), since, forks-1)
		wg.Wait()
	} else {
		for _, kid := range n.kids {
			if kid != none {
				t.rehashBelow(t.nodes.at(kid), since, forks-1)
			}
		}
	}
	sides := [2]child{t.hash.absent(), t.hash.absent()}
	for side, kid := range n.kids {
		if kid != none {
			sides[side] = t.element(t.nodes.at(kid))
		}
	}
	n.value = t.hash.parent(&sides[0], &sides[1])
}
