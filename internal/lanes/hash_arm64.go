package lanes

// supportedPaths returns both: every processor that Go runs on has NEON.
func supportedPaths() []int { return []int{generic, neon} }

// hash hashes messages whose offsets have been checked, at least one.
func hash(dst []byte, dstOff []uint32, first, second half, msgLen uint32) {
	n, i := len(dstOff), 0
	if active.Load() == neon {
		d, f, s := &dst[0], &first.b[0], &second.b[0]
		for ; n-i >= 4; i += 4 {
			ahead := min(i+16, n-4)
			hash4NEON(d, &dstOff[i], f, &first.off[i], &first.off[ahead], s, &second.off[i], &second.off[ahead], nil, nil, msgLen, rootBlock)
		}
		// With one lane idle the kernel still has less to do than one message at a time.
		if n-i == 3 {
			dOff, fOff, sOff := pad(dstOff[i:]), pad(first.off[i:]), pad(second.off[i:])
			hash4NEON(d, &dOff[0], f, &fOff[0], &fOff[0], s, &sOff[0], &sOff[0], nil, nil, msgLen, rootBlock)
			return
		}
	}
	hashGeneric(dst, dstOff[i:], half{first.b, first.off[i:]}, half{second.b, second.off[i:]}, msgLen)
}

// pad returns three offsets with the last one repeated. The kernel then computes the last hash
// twice and stores it twice in the same place.
func pad(offsets []uint32) [4]uint32 {
	return [4]uint32{offsets[0], offsets[1], offsets[2], offsets[2]}
}
