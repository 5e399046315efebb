package lanes

import "golang.org/x/sys/cpu"

func supportedPaths() []int {
	paths := []int{generic}
	if cpu.X86.HasAVX2 {
		paths = append(paths, avx2)
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
		paths = append(paths, avx512)
	}
	return paths
}

// hash hashes messages whose offsets have been checked, at least one.
func hash(dst []byte, dstOff []uint32, first, second half, msgLen uint32) {
	n, i := len(dstOff), 0
	d, f, s := &dst[0], &first.b[0], &second.b[0]
	switch active.Load() {
	case avx512:
		for ; n-i >= 32; i += 32 {
			ahead := min(i+64, n-32)
			hash32AVX512(d, &dstOff[i], f, &first.off[i], &first.off[ahead], s, &second.off[i], &second.off[ahead], msgLen)
		}
		if left := n - i; left >= fewAVX512 {
			var dOff, fOff, sOff [32]uint32
			lanes := 16
			if left > lanes {
				lanes = 32
			}
			pad(dOff[:lanes], dstOff[i:])
			pad(fOff[:lanes], first.off[i:])
			pad(sOff[:lanes], second.off[i:])
			if lanes == 32 {
				hash32AVX512(d, &dOff[0], f, &fOff[0], &fOff[0], s, &sOff[0], &sOff[0], msgLen)
			} else {
				hash16AVX512(d, &dOff[0], f, &fOff[0], &fOff[0], s, &sOff[0], &sOff[0], msgLen)
			}
			return
		}
	case avx2:
		for ; n-i >= 8; i += 8 {
			ahead := min(i+32, n-8)
			hash8AVX2(d, &dstOff[i], f, &first.off[i], &first.off[ahead], s, &second.off[i], &second.off[ahead], msgLen)
		}
		if n-i >= fewAVX2 {
			var dOff, fOff, sOff [8]uint32
			pad(dOff[:], dstOff[i:])
			pad(fOff[:], first.off[i:])
			pad(sOff[:], second.off[i:])
			hash8AVX2(d, &dOff[0], f, &fOff[0], &fOff[0], s, &sOff[0], &sOff[0], msgLen)
			return
		}
	}
	hashGeneric(dst, dstOff[i:], half{first.b, first.off[i:]}, half{second.b, second.off[i:]}, msgLen)
}

// From these numbers of messages on, a kernel whose other lanes are idle is quicker than one
// message at a time.
const (
	fewAVX512 = 3
	fewAVX2   = 2
)

// pad fills padded with the offsets, and then with the last one. A kernel computes the last hash in
// all lanes left over and stores it several times in the same place.
func pad(padded, offsets []uint32) {
	n := copy(padded, offsets)
	for i := range padded[n:] {
		padded[n+i] = offsets[n-1]
	}
}
