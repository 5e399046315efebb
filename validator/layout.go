package validator

// A layout is how a configuration hashes. An edge is what a parent hashes of a child: all that the
// tree above needs to know of a node.
type layout interface {
	// edgeSize is the length of an edge in bytes.
	edgeSize() int
	// leaves makes the edges of some leaves, one after the other.
	leaves(edges []byte, staged *leaves, m *messages)
	// labelSize is the length in bytes of a label that labels has prepared.
	labelSize() int
	// labels prepares n labels of interior nodes for level, one after the other. They begin every
	// 64 bytes of staged.
	labels(prepared, staged []byte, n int)
	// level makes the edges of tasks, whose children's edges are made.
	level(s *sweep, tasks []task)
	// root returns the digest of a tree whose root has the given edge.
	root(edge []byte) Digest
	// rootAbove returns the digest of a tree whose root has one child, on the given side, or none
	// (nil).
	rootAbove(child []byte, side int) Digest
}

// pair returns the two edges below a root that has one child, on the given side.
func pair(child, absent []byte, side int) [][]byte {
	if side == 0 {
		return [][]byte{child, absent}
	}
	return [][]byte{absent, child}
}
