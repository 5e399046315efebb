package simlog

// arena numbers values of one type and holds them in chunks that never move: a tree of millions of
// nodes then costs the garbage collector nothing and is never copied while it grows.
type arena[T any] struct {
	chunks [][]T
	size   uint32
}

const chunkBits = 14

// add stores v and returns its number.
func (a *arena[T]) add(v T) uint32 {
	if a.size>>chunkBits == uint32(len(a.chunks)) {
		a.chunks = append(a.chunks, make([]T, 1<<chunkBits))
	}
	i := a.size
	a.size++
	*a.at(i) = v
	return i
}

func (a *arena[T]) at(i uint32) *T {
	return &a.chunks[i>>chunkBits][i&(1<<chunkBits-1)]
}
