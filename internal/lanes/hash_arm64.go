package lanes

// supportedPaths returns both: every processor that Go runs on has NEON.
func supportedPaths() []int { return []int{generic, neon} }

// hash hashes messages whose offsets have been checked, at least one.
func hash(dst []byte, dstOff []uint32, first, second half, msgLen uint32) {
	n, i := len(dstOff), 0
	if active.Load() == neon {
		for ; n-i >= 4; i += 4 {
			ahead := min(i+16, n-4)
			hash4(&dst[0], &dstOff[i], group{first.b, &first.off[i], &first.off[ahead]},
				group{second.b, &second.off[i], &second.off[ahead]}, msgLen)
		}
		// With one lane idle the kernel still has less to do than one message at a time.
		if n-i == 3 {
			dOff, fOff, sOff := pad(dstOff[i:]), pad(first.off[i:]), pad(second.off[i:])
			hash4(&dst[0], &dOff[0], group{first.b, &fOff[0], &fOff[0]}, group{second.b, &sOff[0], &sOff[0]}, msgLen)
			return
		}
	}
	hashGeneric(dst, dstOff[i:], half{first.b, first.off[i:]}, half{second.b, second.off[i:]}, msgLen)
}

// group is where one half of four messages is, and of four later ones.
type group struct {
	b          []byte
	off, ahead *uint32
}

// hash4 hashes four messages block by block. The chaining values have a place of their own, so that
// all blocks are read before a hash is written.
func hash4(dst *byte, dstOff *uint32, first, second group, msgLen uint32) {
	var values [4 * Size]byte
	valueOff := [4]uint32{0, Size, 2 * Size, 3 * Size}
	var chain *byte // the initial value
	flags := uint32(firstBlock)
	for ; msgLen > Block; msgLen -= Block {
		hash4NEON(&values[0], &valueOff[0], &first.b[0], first.off, first.ahead, &second.b[0], second.off, second.ahead,
			chain, &valueOff[0], Block, flags)
		chain, flags = &values[0], 0
		first.b, second.b = first.b[Block:], second.b[Block:]
	}
	hash4NEON(dst, dstOff, &first.b[0], first.off, first.ahead, &second.b[0], second.off, second.ahead,
		chain, &valueOff[0], msgLen, flags|lastBlock)
}

// pad returns three offsets with the last one repeated. The kernel then computes the last hash
// twice and stores it twice in the same place.
func pad(offsets []uint32) [4]uint32 {
	return [4]uint32{offsets[0], offsets[1], offsets[2], offsets[2]}
}
