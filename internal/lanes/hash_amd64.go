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

// hash hashes messages whose offsets have been checked.
func hash(dst []byte, dstOff []uint32, src []byte, srcOff []uint32, msgLen uint32) {
	switch active.Load() {
	case avx512:
		for ; len(srcOff) >= 32; dstOff, srcOff = dstOff[32:], srcOff[32:] {
			ahead := srcOff[min(64, len(srcOff)-32):]
			hash32AVX512(&dst[0], &dstOff[0], &src[0], &srcOff[0], &ahead[0], msgLen)
		}
		if n := len(srcOff); n >= fewAVX512 {
			d, s := pad(dstOff), pad(srcOff)
			if n > 16 {
				hash32AVX512(&dst[0], &d[0], &src[0], &s[0], &s[0], msgLen)
			} else {
				hash16AVX512(&dst[0], &d[0], &src[0], &s[0], &s[0], msgLen)
			}
			return
		}
	case avx2:
		for ; len(srcOff) >= 8; dstOff, srcOff = dstOff[8:], srcOff[8:] {
			ahead := srcOff[min(32, len(srcOff)-8):]
			hash8AVX2(&dst[0], &dstOff[0], &src[0], &srcOff[0], &ahead[0], msgLen)
		}
		if len(srcOff) >= fewAVX2 {
			d, s := pad(dstOff), pad(srcOff)
			hash8AVX2(&dst[0], &d[0], &src[0], &s[0], &s[0], msgLen)
			return
		}
	}
	hashGeneric(dst, dstOff, src, srcOff, msgLen)
}

// From these numbers of messages on, a kernel whose other lanes are idle is quicker than one
// message at a time.
const (
	fewAVX512 = 3
	fewAVX2   = 3
)

// pad returns the offsets with the last one repeated. A kernel then computes the last hash in all
// lanes left over and stores it several times in the same place.
func pad(offsets []uint32) (padded [widest]uint32) {
	n := copy(padded[:], offsets)
	for i := n; i < widest; i++ {
		padded[i] = offsets[n-1]
	}
	return padded
}
