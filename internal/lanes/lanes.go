// Package lanes computes the BLAKE3 hashes of many short messages at once.
//
// A Key Transparency tree is made of millions of hashes of one to three blocks of 64 bytes, and
// most of them do not depend on each other. BLAKE3 libraries hash one message at a time; this
// package hashes 32 together with AVX-512, 8 with AVX2 and 4 with NEON, one message to a vector
// lane, and falls back to plain Go. The paths give the same hashes. The hash is BLAKE3 in its
// default mode, without key, 32 bytes long, of messages of 0 to 1,024 bytes: those that are a
// single chunk of its tree.
//
// The package leaves to its callers what the messages are, and spreading them over cores.
//
// # Messages and hashes
//
// A message is read in whole blocks of 64 bytes, at least one, of which it fills the first msgLen
// bytes. The caller sets the others to zero, or the result is not the hash of the message. A hash
// fills 32 bytes.
// Source and destination may share memory, and are handled in order: a hash may be written over its
// own message and over messages before it in the call, but not over a later one. Nothing outside
// the given slices is read or written; a message or hash that is not within them is a bug, and
// panics before anything is written.
//
// The program in folder gen writes the assembly. Its comment explains how that works.
package lanes

//go:generate go -C gen run .

import (
	"encoding/binary"
	"fmt"
)

const (
	// Block is the number of bytes of a block.
	Block = 64
	// MaxLen is the length of the longest message.
	MaxLen = 16 * Block
	// Size is the number of bytes of a hash.
	Size = 32

	// widest is the number of messages of the largest kernel.
	widest = 32
	// batch is the number of messages for which HashStrided makes offsets: some groups, as kernels
	// look ahead.
	batch = 4 * widest
	// maxStride keeps the offsets of a batch within 32 bits.
	maxStride = 1 << 24
)

// Hash hashes the messages of msgLen bytes at src[srcOff[i]:], each to the 32 bytes at
// dst[dstOff[i]:]. The two lists of offsets have the same length.
func Hash(dst []byte, dstOff []uint32, src []byte, srcOff []uint32, msgLen int) {
	if len(dstOff) != len(srcOff) {
		panic(fmt.Sprintf("lanes: %d hash offsets for %d messages", len(dstOff), len(srcOff)))
	}
	checkLength(msgLen)
	if len(srcOff) == 0 {
		return
	}
	mustFit("message", srcOff, blocks(msgLen), src)
	mustFit("hash", dstOff, Size, dst)
	hash(dst, dstOff, half{src, srcOff}, half{src[Block/2:], srcOff}, uint32(msgLen))
}

// HashPairs hashes messages of 64 bytes that lie in two halves, of 32 bytes each: message i at
// first[firstOff[i]:] and second[secondOff[i]:], to the 32 bytes at dst[dstOff[i]:]. The three
// lists of offsets have the same length.
func HashPairs(dst []byte, dstOff []uint32, first []byte, firstOff []uint32, second []byte, secondOff []uint32) {
	n := len(dstOff)
	if len(firstOff) != n || len(secondOff) != n {
		panic(fmt.Sprintf("lanes: %d hash offsets for %d and %d halves", n, len(firstOff), len(secondOff)))
	}
	if n == 0 {
		return
	}
	mustFit("first half", firstOff, Block/2, first)
	mustFit("second half", secondOff, Block/2, second)
	mustFit("hash", dstOff, Size, dst)
	hash(dst, dstOff, half{first, firstOff}, half{second, secondOff}, Block)
}

// HashStrided hashes n messages of msgLen bytes, message i at src[i*srcStride:], each to the 32
// bytes at dst[i*dstStride:]. The strides are at most 16 MiB, dstStride is at least 32.
func HashStrided(dst []byte, dstStride int, src []byte, srcStride int, n, msgLen int) {
	checkLength(msgLen)
	if n < 0 {
		panic(fmt.Sprintf("lanes: %d messages", n))
	}
	if srcStride < 0 || srcStride > maxStride || dstStride < Size || dstStride > maxStride {
		panic(fmt.Sprintf("lanes: strides %d and %d out of range", srcStride, dstStride))
	}
	if n == 0 {
		return
	}
	if !fits(n, srcStride, blocks(msgLen), len(src)) {
		panic(fmt.Sprintf("lanes: %d messages of %d bytes, one each %d, do not fit in %d", n, blocks(msgLen), srcStride, len(src)))
	}
	if !fits(n, dstStride, Size, len(dst)) {
		panic(fmt.Sprintf("lanes: %d hashes, one each %d bytes, do not fit in %d bytes", n, dstStride, len(dst)))
	}
	// The offsets within a batch are the same for all batches, which start further along the
	// slices.
	dstOff, srcOff := every(dstStride, min(n, batch)), every(srcStride, min(n, batch))
	for ; n > batch; n -= batch {
		hash(dst, dstOff, half{src, srcOff}, half{src[Block/2:], srcOff}, uint32(msgLen))
		dst, src = dst[batch*dstStride:], src[batch*srcStride:]
	}
	hash(dst, dstOff[:n], half{src, srcOff[:n]}, half{src[Block/2:], srcOff[:n]}, uint32(msgLen))
}

// every32 and every64 are the offsets that nearly all calls need.
var every32, every64 = ramp(32, batch), ramp(64, batch)

// ramp makes n offsets, one every stride bytes.
func ramp(stride, n int) []uint32 {
	offsets := make([]uint32, n)
	for i := range offsets {
		offsets[i] = uint32(i * stride)
	}
	return offsets
}

// every returns n ≤ batch offsets, one every stride bytes. They may be shared: nobody writes them.
func every(stride, n int) []uint32 {
	switch stride {
	case 32:
		return every32[:n]
	case 64:
		return every64[:n]
	}
	return ramp(stride, n)
}

// blocks is how many bytes are read of a message.
func blocks(msgLen int) int { return max(1, (msgLen+Block-1)/Block) * Block }

// half is where the first or the second 32 bytes of messages' first blocks lie. Those of the others
// follow, one every 64 bytes.
type half struct {
	b   []byte
	off []uint32
}

func checkLength(msgLen int) {
	if msgLen < 0 || msgLen > MaxLen {
		panic(fmt.Sprintf("lanes: messages of %d bytes, want 0 to %d", msgLen, MaxLen))
	}
}

// mustFit panics unless there are size bytes at each offset of b.
func mustFit(what string, offsets []uint32, size int, b []byte) {
	if last := largest(offsets); int64(last)+int64(size) > int64(len(b)) {
		panic(fmt.Sprintf("lanes: %s at offset %d does not fit in %d bytes", what, last, len(b)))
	}
}

// fits reports whether n ≥ 1 blocks of size bytes, one every stride bytes, fit in length bytes.
func fits(n, stride, size, length int) bool {
	return length >= size && (stride == 0 || n-1 <= (length-size)/stride)
}

// largest returns the largest of at least one offset. It is called for every list of offsets; four
// independent chains of comparisons keep its cost negligible.
func largest(offsets []uint32) uint32 {
	var a, b, c, d uint32
	for ; len(offsets) >= 4; offsets = offsets[4:] {
		a, b, c, d = max(a, offsets[0]), max(b, offsets[1]), max(c, offsets[2]), max(d, offsets[3])
	}
	for _, o := range offsets {
		a = max(a, o)
	}
	return max(a, b, c, d)
}

// hashGeneric hashes one message after the other.
func hashGeneric(dst []byte, dstOff []uint32, first, second half, msgLen uint32) {
	var m [Block]byte
	for i := range dstOff {
		cv, flags := initialValue, uint32(firstBlock)
		for at, left := 0, msgLen; ; at, left = at+Block, left-Block {
			*(*[Block / 2]byte)(m[:]) = [Block / 2]byte(first.b[int(first.off[i])+at:])
			*(*[Block / 2]byte)(m[Block/2:]) = [Block / 2]byte(second.b[int(second.off[i])+at:])
			if left <= Block {
				compress(&cv, &m, left, flags|lastBlock)
				break
			}
			compress(&cv, &m, Block, flags)
			flags = 0
		}
		for j, w := range cv {
			binary.LittleEndian.PutUint32(dst[int(dstOff[i])+4*j:], w)
		}
	}
}
