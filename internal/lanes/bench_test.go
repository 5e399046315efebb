package lanes

import (
	"fmt"
	"math/rand/v2"
	"testing"

	zeebo "github.com/zeebo/blake3"
	luke "lukechampine.com/blake3"
)

// BenchmarkHash hashes batches on every path and reports the time of a message. The batches are
// what a tree has: messages side by side in the cache, groups of a few, and messages in order or
// scattered in a buffer larger than the cache.
func BenchmarkHash(b *testing.B) {
	for _, path := range Paths() {
		b.Run("path="+path, func(b *testing.B) {
			use(b, path)
			b.Run("batch=1024", func(b *testing.B) { benchmarkStrided(b, 1024, Block, Size) })
			for _, n := range []int{1, 2, 3, 8, 16, 17, 31, 64} {
				b.Run(fmt.Sprintf("few=%d", n), func(b *testing.B) { benchmarkStrided(b, n, Block, Size) })
			}
			b.Run("strided=96-of-32MiB", func(b *testing.B) { benchmarkStrided(b, 32<<20/96, 96, Size) })
			b.Run("offsets=1024", func(b *testing.B) { benchmarkOffsets(b, 1024, 1024) })
			b.Run("offsets=scattered-in-32MiB", func(b *testing.B) { benchmarkOffsets(b, 1024, 32<<20/Block) })
		})
	}
}

func benchmarkStrided(b *testing.B, n, srcStride, dstStride int) {
	src := random(n*srcStride + Block)
	dst := make([]byte, n*dstStride)
	messages := 0
	for b.Loop() {
		HashStrided(dst, dstStride, src, srcStride, n, 64)
		messages += n
	}
	perMessage(b, messages)
}

// benchmarkOffsets hashes n messages at a time at random places among slots.
func benchmarkOffsets(b *testing.B, n, slots int) {
	src := random(slots * Block)
	dst := make([]byte, n*Size)
	dstOff := make([]uint32, n)
	srcOff := make([]uint32, slots)
	for i, p := range rand.New(rand.NewPCG(1, 2)).Perm(slots) {
		srcOff[i] = uint32(p * Block)
	}
	for i := range dstOff {
		dstOff[i] = uint32(i * Size)
	}
	messages := 0
	for b.Loop() {
		first := messages % slots
		Hash(dst, dstOff, src, srcOff[first:first+n], 64)
		messages += n
	}
	perMessage(b, messages)
}

// BenchmarkLibraries hashes one message at a time with the libraries, for comparison with the
// generic path.
func BenchmarkLibraries(b *testing.B) {
	src := random(1024 * Block)
	for name, sum := range map[string]func([]byte) [32]byte{"zeebo": zeebo.Sum256, "lukechampine": luke.Sum256} {
		b.Run(name, func(b *testing.B) {
			messages := 0
			for b.Loop() {
				for i := range 1024 {
					sum(src[Block*i:][:Block])
				}
				messages += 1024
			}
			perMessage(b, messages)
		})
	}
}

func perMessage(b *testing.B, messages int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(messages), "ns/message")
	b.ReportMetric(0, "ns/op")
}
