//go:build unix

package lanes

import (
	"slices"
	"testing"

	"lukechampine.com/blake3"
)

func TestPathsOfARM64(t *testing.T) {
	if got := Paths(); !slices.Equal(got, []string{"neon", "generic"}) {
		t.Errorf("paths are %v", got)
	}
}

// TestChained hashes messages of up to 16 blocks, which are one chunk: each block starts from the
// chaining value of the block before it. Chaining values are right in front of pages that cannot be
// touched, and each is written over the one that it comes from.
func TestChained(t *testing.T) {
	const n, start, end, root = 4, 1, 2, 8
	r := source(7)
	for length := 1; length <= 16*Block; length += 21 {
		blocks := (length + Block - 1) / Block
		stride := blocks * Block
		src := make([]byte, n*stride)
		for i := range n {
			fill(r, src[i*stride:][:length])
		}
		values := guarded(t, n*Size, true)
		off := [n]uint32{2 * Size, 0, 3 * Size, Size}
		for block := range blocks {
			flags, size := uint32(0), uint32(Block)
			chain := &values[0]
			if block == 0 {
				flags, chain = start, nil
			}
			if block == blocks-1 {
				flags |= end | root
				size = uint32(length - block*Block)
			}
			var first, second [n]uint32
			for i := range n {
				first[i] = uint32(i*stride + block*Block)
				second[i] = first[i] + Block/2
			}
			hash4NEON(&values[0], &off[0], &src[0], &first[0], &first[0], &src[0], &second[0], &second[0], chain, &off[0], size, flags)
		}
		for i := range n {
			if got, want := [Size]byte(values[off[i]:]), blake3.Sum256(src[i*stride:][:length]); got != want {
				t.Fatalf("message %d of %d bytes: got %x, want %x", i, length, got, want)
			}
		}
	}
}
