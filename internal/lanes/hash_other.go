//go:build !amd64

package lanes

func supportedPaths() []int { return []int{generic} }

// hash hashes messages whose offsets have been checked.
func hash(dst []byte, dstOff []uint32, src []byte, srcOff []uint32, msgLen uint32) {
	hashGeneric(dst, dstOff, src, srcOff, msgLen)
}
