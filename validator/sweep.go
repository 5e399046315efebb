package validator

import (
	"bytes"
	"context"
	"sync"
)

// The trie of sorted labels is the Cartesian tree of the lengths of neighbours' common prefixes:
// between each two neighbours there is one interior node, whose depth is that length. A stack of
// the nodes on the rightmost path, whose left side is complete and whose right side still grows,
// builds it in one pass over the labels.
//
// The same pass builds both trees. The end tree has all elements, the start tree the unchanged
// ones. An interior node belongs to the start tree exactly if both its sides hold an unchanged
// element, and it has the same label in both. A node with nothing inserted below it is the same in
// both, and is hashed once.
//
// The pass does not hash. It lists tasks, one for each interior node of each tree, by height: how
// many tasks must come before. flush then runs all tasks of one height together, which gives the
// hash function thousands of independent messages at a time. It is called for a fixed number of
// leaves, so that its input stays in the processor's cache, and memory does not grow with the
// proof: only the nodes of the stack, at most 256, survive it.
const (
	sweepLeaves = 2048
	shortLeaves = 512 // where setting up a sweep is a noticeable cost
	maxOpen     = labelBits + 1
	// batch is how many leaves, labels or tasks wait to be hashed together, in the processor's
	// first-level cache.
	batch = 128
)

// edgeAt is where an edge stands in sweep.edges, or will: a byte offset. An edge is what a parent
// hashes of a child; see layout.
type edgeAt uint32

const none = ^edgeAt(0) // the tree has no node here

// A subtree is a complete part of both trees, by the edge of its top in the end tree and in the
// start tree, where it may be none. The heights say how many tasks must come before.
type subtree struct {
	end, start             edgeAt
	endHeight, startHeight uint16
}

// openNode is an interior node whose right side still grows.
type openNode struct {
	depth int32
	left  subtree
}

// task makes the edge of an interior node from its children's.
type task struct {
	left, right, edge edgeAt
	label             uint32 // which of sweep.labels
}

// sweep is one pass over sorted labels.
type sweep struct {
	layout   layout
	edgeSize edgeAt

	capacity int // leaves between two flushes
	leaves   int // since the last flush
	staged   leaves
	nodes    int      // interior ones, since the last flush
	waiting  int      // how many of them have their label in nodeLabels
	labels   []byte   // of the others, layout.labelSize() bytes each
	levels   [][]task // by height, less 1
	// Edges that outlast a flush, then the leaves', then the interior nodes', edgeSize bytes each.
	edges []byte

	firstLeaf edgeAt // of the first leaf
	firstNode edgeAt // of the first interior node
	next      edgeAt // of the next interior node, or prepared subtree

	nodeLabels [64 * batch]byte // as those of leaves

	stack     []openNode
	current   subtree // what ends with the last label
	last      *label  // nil before the first
	lastIndex int     // of the last leaf's element
	// The last leaf's label and the next one's in turns: a label that is copied right after it was
	// written costs more than all else that is done with it.
	leafLabels [2]label
	// The first bit of the last label that the start tree has, and whether the start tree's root
	// has two children, since the last subtree ended.
	startSide   int
	startIsRoot bool

	ended []ended    // since the last flush
	done  []prepared // all

	overlap  *overlap // the first of those since the last subtree ended; see firstOverlap
	kept     []byte
	pairs    pairs // the layout's
	messages messages
}

// leaves are a batch of leaves that wait for their edges.
type leaves struct {
	count    int
	labels   [64 * batch]byte // 64 bytes each: length (4, big-endian), label (32), zeros
	nodes    [64 * batch]byte // 64 bytes each: value, then what the layout makes of it
	inserted []uint32         // offsets in nodes
}

// overlap is two elements with the same label, or where one's label is a prefix of the other's.
type overlap struct{ a, b int }

// newSweep makes a sweep that stages up to the given number of leaves, or of prepared subtrees.
func newSweep(l layout, leaves int) *sweep {
	// At a flush each open node may keep two edges; each leaf closes one node, in at most two
	// trees. There are never more open nodes than leaves.
	open := min(leaves, maxOpen)
	interior := leaves + open
	size := edgeAt(l.edgeSize())
	keeps := edgeAt(2*open+2) * size
	s := &sweep{
		layout: l, edgeSize: size, capacity: leaves,
		labels:    make([]byte, interior*l.labelSize()),
		firstLeaf: keeps,
		firstNode: keeps + edgeAt(leaves)*size,
	}
	s.next = s.firstNode
	s.edges = make([]byte, s.firstNode+edgeAt(2*leaves+2*interior)*size)
	return s
}

// freeSweeps are sweeps of shortLeaves, and of sweepLeaves, that nobody uses. Of short proofs a
// process verifies thousands a second, and the memory of a sweep is most of what each takes.
var freeSweeps = map[int]*sync.Pool{shortLeaves: {}, sweepLeaves: {}}

// takeSweep is newSweep for up to sweepLeaves, or one that was given back.
func takeSweep(l layout, leaves int) *sweep {
	capacity := sweepLeaves
	if leaves <= shortLeaves {
		capacity = shortLeaves
	}
	s, ok := freeSweeps[capacity].Get().(*sweep)
	if !ok || s.edgeSize != edgeAt(l.edgeSize()) {
		return newSweep(l, capacity)
	}
	s.layout, s.done = l, nil
	return s
}

// giveBack gives back a sweep once all that it has made was copied, unless its work was broken off.
// After a flush with nothing open it is as it was when it was new, but for what is written over.
func (s *sweep) giveBack(ctx context.Context) {
	if ctx.Err() == nil {
		freeSweeps[s.capacity].Put(s)
	}
}

// addLeaf adds the record that comes next in label order.
func (s *sweep) addLeaf(r *record) {
	if s.leaves == s.capacity {
		s.flush()
	}
	label := &s.leafLabels[0]
	if s.last == label {
		label = &s.leafLabels[1]
	}
	r.fullLabel(label)
	if !s.advance(label, r.index()) {
		return
	}
	if s.staged.count == batch {
		s.makeLeaves()
	}
	at := 64 * s.staged.count
	label.put(s.staged.labels[at:])
	copy(s.staged.nodes[at:], r.value())
	edge := s.firstLeaf + edgeAt(s.leaves)*s.edgeSize
	s.current = subtree{end: edge, start: edge}
	if r.inserted() {
		s.staged.inserted = append(s.staged.inserted, uint32(at))
		s.current.start = none
	} else {
		s.startSide = label.side()
	}
	s.staged.count++
	s.leaves++
}

// makeLeaves makes the edges of the leaves that wait for them.
func (s *sweep) makeLeaves() {
	n := s.staged.count
	s.layout.leaves(s.edges[s.firstLeaf+edgeAt(s.leaves-n)*s.edgeSize:], &s.staged, &s.messages)
	s.staged.count, s.staged.inserted = 0, s.staged.inserted[:0]
}

// makeLabels prepares the labels of interior nodes that wait for it.
func (s *sweep) makeLabels() {
	s.layout.labels(s.labels[(s.nodes-s.waiting)*s.layout.labelSize():], s.nodeLabels[:], s.waiting)
	s.waiting = 0
}

// addPrepared adds a subtree whose edges are known, under the label of any leaf in it. One sweep
// takes either leaves or prepared subtrees, and of the latter no more than newSweep was told.
func (s *sweep) addPrepared(p *prepared) {
	if !s.advance(&p.label, p.index) {
		return
	}
	s.current = subtree{end: s.newEdge(), start: none}
	copy(s.edge(s.current.end), p.endEdge)
	switch p.start {
	case none:
		return
	case p.end:
		s.current.start = s.current.end
	default:
		s.current.start = s.newEdge()
		copy(s.edge(s.current.start), p.startEdge)
	}
	s.startSide = p.label.side()
}

// newEdge returns the place of another edge.
func (s *sweep) newEdge() edgeAt {
	s.next += s.edgeSize
	return s.next - s.edgeSize
}

// advance completes the nodes that end before this label, opens the one between the last label and
// this one, and reports whether the two are apart. If they overlap it records that, and changes
// nothing else.
func (s *sweep) advance(l *label, index int) bool {
	if s.last != nil {
		common := s.last.commonPrefix(l)
		if common >= min(s.last.length, l.length) {
			s.addOverlap(index)
			return false
		}
		s.close(common)
		s.stack = append(s.stack, openNode{depth: common, left: s.current})
	}
	s.last = l
	s.lastIndex = index
	return true
}

func (s *sweep) addOverlap(index int) {
	s.overlap = firstOverlap(s.overlap, &overlap{min(s.lastIndex, index), max(s.lastIndex, index)})
}

// firstOverlap picks the overlap whose later element comes first, so that the detail does not
// depend on which worker was quicker.
func firstOverlap(a, b *overlap) *overlap {
	if a == nil || b != nil && (b.b < a.b || b.b == a.b && b.a < a.a) {
		return b
	}
	return a
}

// close completes the open nodes that are deeper than depth. All of them end with the last leaf.
func (s *sweep) close(depth int32) {
	n := len(s.stack)
	for n > 0 && s.stack[n-1].depth > depth {
		n--
		s.join(&s.stack[n])
	}
	s.stack = s.stack[:n]
}

// join adds the tasks of a node whose right side, the current subtree, is complete as well, which
// makes it the current one.
func (s *sweep) join(n *openNode) {
	left, right := n.left, s.current
	if s.waiting == batch {
		s.makeLabels()
	}
	label := uint32(s.nodes)
	s.last.putPrefix(s.nodeLabels[64*s.waiting:], n.depth)
	s.nodes++
	s.waiting++
	joined := &s.current
	joined.end, joined.endHeight = s.addTask(left.end, right.end, left.endHeight, right.endHeight, label)
	switch {
	case left.start == none:
		return // the start tree has the right side only
	case right.start == none:
		joined.start, joined.startHeight = left.start, left.startHeight
		return
	case left.start == left.end && right.start == right.end:
		joined.start, joined.startHeight = joined.end, joined.endHeight
	default:
		joined.start, joined.startHeight = s.addTask(left.start, right.start, left.startHeight, right.startHeight, label)
	}
	s.startIsRoot = n.depth == 0
}

func (s *sweep) addTask(left, right edgeAt, leftHeight, rightHeight uint16, label uint32) (edgeAt, uint16) {
	below := max(leftHeight, rightHeight)
	for int(below) >= len(s.levels) {
		s.levels = append(s.levels, nil)
	}
	edge := s.newEdge()
	level := &s.levels[below]
	*level = append(*level, task{left, right, edge, label})
	return edge, below + 1
}

// flush runs all tasks. The edges that are still needed move to the first rows.
func (s *sweep) flush() {
	s.makeLeaves()
	s.makeLabels()
	for h := range s.levels {
		s.layout.level(s, s.levels[h])
		s.levels[h] = s.levels[h][:0]
	}
	for i := range s.ended {
		s.ended[i].export(s)
	}
	s.ended = s.ended[:0]
	s.carry()
}

// carry keeps the edges of the complete left sides of open nodes, and of the last subtree, and
// drops everything else.
func (s *sweep) carry() {
	s.kept = s.kept[:0]
	keep := func(t *subtree) {
		end := edgeAt(len(s.kept))
		s.kept = append(s.kept, s.edge(t.end)...)
		switch t.start {
		case none:
		case t.end:
			t.start = end
		default:
			s.kept = append(s.kept, s.edge(t.start)...)
			t.start = end + s.edgeSize
		}
		t.end, t.endHeight, t.startHeight = end, 0, 0
	}
	for i := range s.stack {
		keep(&s.stack[i].left)
	}
	if s.last != nil {
		keep(&s.current)
	}
	copy(s.edges, s.kept)
	s.next = s.firstNode
	s.leaves, s.nodes = 0, 0
}

// edge returns an edge that was made.
func (s *sweep) edge(at edgeAt) []byte { return s.edges[at : at+s.edgeSize] }

// endSubtree completes everything that is open: all labels since the last call are one subtree,
// which is in done after the next flush. The next label begins another.
//
// elements is how many there were, with those that overlap.
func (s *sweep) endSubtree(bucket, elements int) {
	if s.last == nil {
		return
	}
	endIsRoot := len(s.stack) > 0 && s.stack[0].depth == 0
	s.close(-1)
	s.ended = append(s.ended, ended{
		subtree: s.current, bucket: bucket, elements: elements, label: *s.last, index: s.lastIndex, overlap: s.overlap,
		endIsRoot: endIsRoot, startIsRoot: s.startIsRoot, startSide: s.startSide,
	})
	s.last, s.overlap, s.startIsRoot = nil, nil, false
}

// ended is a subtree that nothing will be added to, with the label of one of its leaves.
type ended struct {
	subtree
	bucket   int
	elements int // how many are in it
	label    label
	index    int      // of the label's element
	overlap  *overlap // the first of those in it
	// The subtree's top is at depth 0: it is the root itself.
	endIsRoot, startIsRoot bool
	// The first bit of the labels below the start tree's top, if that is not the root.
	startSide int
}

// export copies the subtree's edges out of the sweep.
func (e *ended) export(s *sweep) {
	p := prepared{ended: *e, endEdge: bytes.Clone(s.edge(e.end))}
	switch e.start {
	case none:
	case e.end:
		p.startEdge = p.endEdge
	default:
		p.startEdge = bytes.Clone(s.edge(e.start))
	}
	s.done = append(s.done, p)
}

// prepared is a subtree with its edges, for the upper part of the trees. startEdge is nil if
// nothing in it is in the start tree, and the same as endEdge if nothing was inserted.
type prepared struct {
	ended
	endEdge, startEdge []byte
}
