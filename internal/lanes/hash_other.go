//go:build !amd64 && !arm64

package lanes

func supportedPaths() []int { return []int{generic} }

// hash hashes messages whose offsets have been checked.
func hash(dst []byte, dstOff []uint32, first, second half, msgLen uint32) {
	hashGeneric(dst, dstOff, first, second, msgLen)
}
