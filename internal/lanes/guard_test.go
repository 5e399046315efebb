//go:build unix

package lanes

import (
	"bytes"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"lukechampine.com/blake3"
)

// TestPageEnds puts messages and hashes right behind and right in front of pages that cannot be
// touched. A kernel that reads or writes a byte outside the slices does not survive it.
func TestPageEnds(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for n := 1; n <= 100; n++ {
			for _, atEnd := range []bool{false, true} {
				src, dst := guarded(t, n*Block, atEnd), guarded(t, n*Size, atEnd)
				copy(src, random(len(src)))
				srcOff, dstOff := make([]uint32, n), make([]uint32, n)
				for i := range n {
					srcOff[i], dstOff[i] = uint32((n-1-i)*Block), uint32((n-1-i)*Size)
				}
				HashStrided(dst, Size, src, Block, n, Block)
				check(t, dst, src, n)
				clear(dst)
				Hash(dst, dstOff, src, srcOff, Block)
				check(t, dst, src, n)
				clear(dst)
				long := guarded(t, n*3*Block, atEnd)
				copy(long, random(len(long)))
				HashStrided(dst, Size, long, 3*Block, n, 3*Block)
				for i := range n {
					if got, want := [Size]byte(dst[i*Size:]), hashAt(long, i*3*Block, 3*Block); got != want {
						t.Fatalf("%d messages of three blocks: hash %d is %x, want %x", n, i, got, want)
					}
				}
				clear(dst)
				halves := guarded(t, n*Block/2, atEnd)
				copy(halves, src)
				off := make([]uint32, n)
				for i := range n {
					off[i] = uint32(i * Block / 2)
				}
				HashPairs(dst, off, halves, off, halves, off)
				for i := range n {
					half := halves[i*Block/2:][:Block/2]
					if got, want := [Size]byte(dst[i*Size:]), blake3.Sum256(append(bytes.Clone(half), half...)); got != want {
						t.Fatalf("%d pairs: hash %d is %x, want %x", n, i, got, want)
					}
				}
			}
		}
	})
}

// TestOffsetsAtPageEnds puts the lists of offsets in front of pages that cannot be touched.
func TestOffsetsAtPageEnds(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for n := 1; n <= 200; n++ {
			src, dst := random(n*Block), make([]byte, n*Size)
			srcOff, dstOff := guardedOffsets(t, n), guardedOffsets(t, n)
			for i := range n {
				srcOff[i], dstOff[i] = uint32(i*Block), uint32(i*Size)
			}
			Hash(dst, dstOff, src, srcOff, Block)
			check(t, dst, src, n)
			clear(dst)
			secondOff := guardedOffsets(t, n)
			copy(secondOff, srcOff)
			HashPairs(dst, dstOff, src, srcOff, src[Block/2:], secondOff)
			check(t, dst, src, n)
		}
	})
}

func check(t *testing.T, dst, src []byte, n int) {
	t.Helper()
	for i := range n {
		if got, want := [Size]byte(dst[i*Size:]), hashAt(src, i*Block, Block); got != want {
			t.Fatalf("%d messages: hash %d is %x, want %x", n, i, got, want)
		}
	}
}

// guarded returns n bytes that begin at the start of a page or end at the end of one, with a page
// that cannot be touched on either side.
func guarded(t *testing.T, n int, atEnd bool) []byte {
	t.Helper()
	page := unix.Getpagesize()
	size := (n + page - 1) / page * page
	b, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{b[:page], b[page+size:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	start := page
	if atEnd {
		start += size - n
	}
	return b[start:][:n:n]
}

func guardedOffsets(t *testing.T, n int) []uint32 {
	t.Helper()
	b := guarded(t, 4*n, true)
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), n)
}
