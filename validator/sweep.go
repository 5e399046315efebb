package validator

import (
	"bytes"
	"encoding/binary"
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
// The pass does not hash. It lists tasks, one for each node of each tree, with their height: how
// many tasks must come before. flush then runs all tasks of one height together, which gives the
// hash function thousands of independent messages at a time. It is called for a fixed number of
// leaves, so that its input stays in the processor's cache, and memory does not grow with the
// proof: only the nodes of the stack, at most 256, survive it.
const (
	sweepLeaves = 2048
	shortLeaves = 512 // where setting up a sweep is a noticeable cost
	maxOpen     = labelBits + 1

	none = ^uint32(0) // no task: the tree has no node here
)

// A subtree is a complete part of both trees: the tasks that make its top's edge in the end tree
// and in the start tree, where it may be none. An edge is what a parent hashes of a child; see
// layout.
type subtree struct {
	end, start uint32
	// The subtree's top is at depth 0: it is the root itself.
	endIsRoot, startIsRoot bool
	// The first bit of the labels below the top, if that is not the root.
	endSide, startSide int
}

// openNode is an interior node whose right side still grows.
type openNode struct {
	depth int
	left  subtree
}

// task makes one edge: that of a leaf, or that of an interior node from its children's edges.
type task struct {
	left, right uint32 // tasks; unused for height 0
	label       uint32 // which of sweep.nodeLabels
	row         uint32 // which of sweep.edges it fills
	height      uint16
}

type sweep struct {
	layout layout

	leaves     int    // staged
	leafLabels []byte // 64 bytes each: length (4, big-endian), label (32), zeros
	leafNodes  []byte // 64 bytes each: value, then what the layout makes of it
	inserted   []uint32
	nodes      int
	nodeLabels []byte // as leafLabels, for interior nodes
	tasks      []task
	edges      []byte // layout.edgeSize() bytes a row
	rows       int
	firstLeaf  int // row of the first staged leaf
	top        uint16

	stack     []openNode
	current   subtree // what ends with the last label
	begun     bool
	last      [4 + labelSize]byte // length and label of the last leaf
	lastIndex int                 // of the last leaf's element

	ended []ended    // since the last flush
	done  []prepared // all

	overlap *overlap // the first of those since the last subtree ended; see firstOverlap
	byLevel []uint32
	ends    []int
	kept    []byte
	staged  [3][]byte // the layout's, for a level at a time
}

// overlap is two elements with the same label, or where one's label is a prefix of the other's.
type overlap struct{ a, b int }

// newSweep makes a sweep that stages up to the given number of leaves, or of prepared subtrees.
func newSweep(l layout, leaves int) *sweep {
	// At a flush each open node may keep two finished tasks; each leaf closes one node, in at most
	// two trees. There are never more open nodes than leaves.
	open := min(leaves, maxOpen)
	interior := leaves + open
	rows := 2*open + 2 + 2*leaves + 2*interior
	s := &sweep{
		layout:     l,
		leafLabels: make([]byte, 64*leaves),
		leafNodes:  make([]byte, 64*leaves),
		nodeLabels: make([]byte, 64*interior),
		tasks:      make([]task, 0, rows),
		edges:      make([]byte, rows*l.edgeSize()),
	}
	return s
}

// addLeaf adds the record that comes next in label order.
func (s *sweep) addLeaf(r record) {
	if 64*s.leaves == len(s.leafLabels) {
		s.flush()
	}
	i := s.leaves
	label := s.leafLabels[64*i : 64*i+4+labelSize]
	binary.BigEndian.PutUint32(label, uint32(r.bits()))
	clear(label[4+copy(label[4:], r.label()):])
	if !s.advance(label, r.index()) {
		return
	}
	if i == 0 {
		s.firstLeaf = s.rows
	}
	t := s.addTask(task{row: uint32(s.rows)})
	s.rows++
	s.leaves++
	copy(s.leafNodes[64*i:], r.value())
	s.current = subtree{end: t, start: t, endSide: int(label[4] >> 7)}
	s.current.startSide = s.current.endSide
	if r.inserted() {
		s.inserted = append(s.inserted, uint32(64*i))
		s.current.start = none
	}
}

// addPrepared adds a subtree whose edges are known, under the label of any leaf in it. One sweep
// takes either leaves or prepared subtrees, and of the latter no more than newSweep was told.
func (s *sweep) addPrepared(p *prepared) {
	if !s.advance(p.label[:], p.index) {
		return
	}
	row := func(edge []byte) uint32 {
		size := s.layout.edgeSize()
		copy(s.edges[s.rows*size:], edge)
		s.rows++
		return s.addTask(task{row: uint32(s.rows - 1)})
	}
	side := int(p.label[4] >> 7)
	s.current = subtree{end: row(p.endEdge), start: none, endSide: side, startSide: side}
	switch p.start {
	case none:
	case p.end:
		s.current.start = s.current.end
	default:
		s.current.start = row(p.startEdge)
	}
}

// advance completes the nodes that end before this label, opens the one between the last label and
// this one, and reports whether the two are apart. If they overlap it records that, and changes
// nothing else.
func (s *sweep) advance(label []byte, index int) bool {
	if s.begun {
		common := commonPrefix(s.last[4:], label[4:])
		if common >= min(length(s.last[:]), length(label)) {
			s.addOverlap(index)
			return false
		}
		s.close(common)
		s.stack = append(s.stack, openNode{depth: common, left: s.current})
	}
	s.begun = true
	copy(s.last[:], label)
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
func (s *sweep) close(depth int) {
	for len(s.stack) > 0 && s.stack[len(s.stack)-1].depth > depth {
		n := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		s.current = s.join(n, s.current)
	}
}

// join adds the tasks of a node whose right side is complete as well.
func (s *sweep) join(n openNode, right subtree) subtree {
	left := n.left
	label := s.interiorLabel(n.depth)
	joined := subtree{endIsRoot: n.depth == 0, endSide: left.endSide}
	joined.end = s.addInterior(left.end, right.end, label)
	switch {
	case left.start == none:
		joined.start, joined.startIsRoot, joined.startSide = right.start, right.startIsRoot, right.startSide
	case right.start == none:
		joined.start, joined.startIsRoot, joined.startSide = left.start, left.startIsRoot, left.startSide
	default:
		joined.startIsRoot, joined.startSide = n.depth == 0, left.startSide
		if left.start == left.end && right.start == right.end {
			joined.start = joined.end
		} else {
			joined.start = s.addInterior(left.start, right.start, label)
		}
	}
	return joined
}

// interiorLabel stages the label of a node above the last leaf: the leaf's first depth bits.
func (s *sweep) interiorLabel(depth int) uint32 {
	label := s.nodeLabels[64*s.nodes : 64*s.nodes+4+labelSize]
	binary.BigEndian.PutUint32(label, uint32(depth))
	whole := depth / 8
	clear(label[4+copy(label[4:], s.last[4:4+whole]):])
	if rest := depth % 8; rest != 0 {
		label[4+whole] = s.last[4+whole] &^ (0xff >> rest)
	}
	s.nodes++
	return uint32(s.nodes - 1)
}

func (s *sweep) addInterior(left, right, label uint32) uint32 {
	height := 1 + max(s.tasks[left].height, s.tasks[right].height)
	s.top = max(s.top, height)
	return s.addTask(task{left: left, right: right, label: label, height: height})
}

func (s *sweep) addTask(t task) uint32 {
	s.tasks = append(s.tasks, t)
	return uint32(len(s.tasks) - 1)
}

// flush runs all tasks. The edges that are still needed move to the first rows, as finished tasks.
func (s *sweep) flush() {
	s.layout.leaves(s)
	s.layout.labels(s)
	s.sortByHeight()
	for h := 1; h <= int(s.top); h++ {
		s.layout.level(s, s.byLevel[s.ends[h-1]:s.ends[h]])
	}
	for i := range s.ended {
		s.ended[i].export(s)
	}
	s.ended = s.ended[:0]
	s.carry()
}

// sortByHeight fills byLevel with the interior tasks in order of height, and gives them rows in
// that order. Those of height h are byLevel[ends[h-1]:ends[h]].
func (s *sweep) sortByHeight() {
	s.ends = append(s.ends[:0], make([]int, int(s.top)+2)...)
	n := 0
	for i := range s.tasks {
		if h := s.tasks[i].height; h > 0 {
			s.ends[h+1]++
			n++
		}
	}
	for h := 1; h < len(s.ends); h++ {
		s.ends[h] += s.ends[h-1]
	}
	s.byLevel = append(s.byLevel[:0], make([]uint32, n)...)
	for i := range s.tasks {
		if h := s.tasks[i].height; h > 0 {
			s.byLevel[s.ends[h]] = uint32(i)
			s.ends[h]++
		}
	}
	for i, t := range s.byLevel {
		s.tasks[t].row = uint32(s.rows + i)
	}
	s.rows += n
}

// carry keeps the edges of the complete left sides of open nodes, and of the last subtree, and
// drops everything else.
func (s *sweep) carry() {
	size := s.layout.edgeSize()
	s.kept = s.kept[:0]
	keep := func(t *subtree) {
		end := uint32(len(s.kept) / size)
		s.kept = append(s.kept, s.edge(t.end)...)
		switch t.start {
		case none:
		case t.end:
			t.start = end
		default:
			s.kept = append(s.kept, s.edge(t.start)...)
			t.start = end + 1
		}
		t.end = end
	}
	for i := range s.stack {
		keep(&s.stack[i].left)
	}
	if s.begun {
		keep(&s.current)
	}
	copy(s.edges, s.kept)
	s.rows = len(s.kept) / size
	s.tasks = s.tasks[:0]
	for row := range s.rows {
		s.tasks = append(s.tasks, task{row: uint32(row)})
	}
	s.leaves, s.nodes, s.inserted, s.top = 0, 0, s.inserted[:0], 0
}

// edge returns the edge that a finished task has made.
func (s *sweep) edge(t uint32) []byte {
	size := s.layout.edgeSize()
	row := int(s.tasks[t].row)
	return s.edges[row*size : (row+1)*size]
}

// endSubtree completes everything that is open: all labels since the last call are one subtree,
// which is in done after the next flush. The next label begins another.
//
// elements is how many there were, with those that overlap.
func (s *sweep) endSubtree(bucket, elements int) {
	if !s.begun {
		return
	}
	s.close(-1)
	s.begun = false
	s.ended = append(s.ended, ended{
		subtree: s.current, bucket: bucket, elements: elements, label: s.last, index: s.lastIndex, overlap: s.overlap,
	})
	s.overlap = nil
}

// ended is a subtree that nothing will be added to, with the label of one of its leaves.
type ended struct {
	subtree
	bucket   int
	elements int // how many are in it
	label    [4 + labelSize]byte
	index    int      // of the label's element
	overlap  *overlap // the first of those in it
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

// stage returns one of the layout's buffers, for n bytes.
func (s *sweep) stage(i, n int) []byte {
	if cap(s.staged[i]) < n {
		s.staged[i] = make([]byte, n)
	}
	s.staged[i] = s.staged[i][:n]
	return s.staged[i]
}
