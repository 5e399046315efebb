package lanes

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
)

// TestLengths hashes every number of messages that leaves a different rest after the groups, in
// every length.
func TestLengths(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := source(2)
		var lengths []int
		for n := range Block + 2 {
			lengths = append(lengths, n)
		}
		for _, msgLen := range append(lengths, 127, 128, 129, 148, 192, 193, MaxLen-Block, MaxLen-1, MaxLen) {
			stride := blocks(msgLen)
			for n := range 71 {
				src := padded(r, n, stride, msgLen)
				dst := make([]byte, n*Size)
				HashStrided(dst, Size, src, stride, n, msgLen)
				for i := range n {
					if got, want := [Size]byte(dst[i*Size:]), hashAt(src, i*stride, msgLen); got != want {
						t.Fatalf("%d messages of %d bytes: hash %d is %x, want %x", n, msgLen, i, got, want)
					}
				}
			}
		}
	})
}

// TestRandom hashes messages at random offsets, to random places with gaps between them that must
// stay as they were.
func TestRandom(t *testing.T) {
	hashed := 2_000_000
	if testing.Short() || raceDetector { // which finds nothing more in more of them
		hashed = 100_000
	}
	eachPath(t, func(t *testing.T) {
		r := source(3)
		random := rand.New(r)
		for done := 0; done < hashed; {
			n, msgLen, dstStride := random.IntN(600), random.IntN(Block+1), 32+random.IntN(64)
			if random.IntN(4) == 0 {
				msgLen = random.IntN(MaxLen + 1)
			}
			srcStride := blocks(msgLen) + random.IntN(64)
			src := padded(r, n, srcStride, msgLen)
			srcOff, dstOff := make([]uint32, n), make([]uint32, n)
			for i, place := range random.Perm(n) {
				// A message may be read twice, a hash has a place of its own.
				srcOff[i], dstOff[i] = uint32(random.IntN(n)*srcStride), uint32(place*dstStride)
			}
			dst := make([]byte, n*dstStride)
			fill(r, dst)
			want := bytes.Clone(dst)
			for i, off := range srcOff {
				h := hashAt(src, int(off), msgLen)
				copy(want[dstOff[i]:], h[:])
			}
			Hash(dst, dstOff, src, srcOff, msgLen)
			if !bytes.Equal(dst, want) {
				t.Fatalf("%d messages of %d bytes, strides %d and %d: wrong hashes", n, msgLen, srcStride, dstStride)
			}
			done += n * blocks(msgLen) / Block
		}
	})
}

// TestPairs hashes messages whose halves are anywhere in two slices, to places with gaps between
// them that must stay as they were.
func TestPairs(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := source(6)
		random := rand.New(r)
		for n := range 300 {
			first, second, dst := make([]byte, 4096), make([]byte, 1024), make([]byte, 40*n)
			for _, b := range [][]byte{first, second, dst} {
				fill(r, b)
			}
			want := bytes.Clone(dst)
			firstOff, secondOff, dstOff := make([]uint32, n), make([]uint32, n), make([]uint32, n)
			for i, place := range random.Perm(n) {
				firstOff[i], secondOff[i] = uint32(random.IntN(len(first)-31)), uint32(random.IntN(len(second)-31))
				dstOff[i] = uint32(40 * place)
				h := blake3.Sum256(append(bytes.Clone(first[firstOff[i]:][:32]), second[secondOff[i]:][:32]...))
				copy(want[dstOff[i]:], h[:])
			}
			HashPairs(dst, dstOff, first, firstOff, second, secondOff)
			if !bytes.Equal(dst, want) {
				t.Fatalf("%d messages: wrong hashes", n)
			}
		}
	})
}

// TestAccumulated pins the hash of the hashes of a million messages, so that no path can change
// together with the library that the other tests compare with.
func TestAccumulated(t *testing.T) {
	const want = "1838099c7353f0ba9d069d874f6c0a8370413e4bd21455687e516ad9a3e0fb10"
	eachPath(t, func(t *testing.T) {
		r := source(4)
		all := blake3.New(Size, nil)
		for round := range 64 {
			for msgLen := range Block + 1 {
				n := 1 + (round*67+msgLen*31)%481
				src := padded(r, n, Block, msgLen)
				dst := make([]byte, n*Size)
				HashStrided(dst, Size, src, Block, n, msgLen)
				if _, err := all.Write(dst); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := hex.EncodeToString(all.Sum(nil)); got != want {
			t.Errorf("digest of all hashes is %s, want %s", got, want)
		}
	})
}

// TestPublishedVectors checks the beginning of the hashes of some of BLAKE3's own test vectors.
func TestPublishedVectors(t *testing.T) {
	vectors := map[int]string{
		0:    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:    "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		64:   "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98",
		65:   "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee",
		1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
	}
	eachPath(t, func(t *testing.T) {
		for msgLen, want := range vectors {
			// The input of the vectors counts bytes from 0 to 250, over and over.
			size := blocks(msgLen)
			src := make([]byte, 3*size)
			for i := range 3 * size {
				if i%size < msgLen {
					src[i] = byte(i % size % 251)
				}
			}
			dst := make([]byte, 3*Size)
			HashStrided(dst, Size, src, size, 3, msgLen)
			for i := range 3 {
				if got := hex.EncodeToString(dst[i*Size:][:Size]); got != want {
					t.Errorf("%d bytes: got %s, want %s", msgLen, got, want)
				}
			}
		}
	})
}

// TestOverlappingMessages reads messages that share bytes with each other.
func TestOverlappingMessages(t *testing.T) {
	src := random(4096)
	eachPath(t, func(t *testing.T) {
		for stride := range Block {
			for n := range 60 {
				dst := make([]byte, n*40)
				HashStrided(dst, 40, src, stride, n, Block)
				for i := range n {
					if got, want := [Size]byte(dst[i*40:]), hashAt(src, i*stride, Block); got != want {
						t.Fatalf("stride %d, %d messages: hash %d is %x, want %x", stride, n, i, got, want)
					}
				}
			}
		}
	})
}

// TestInPlace builds a tree in one slice: the hashes of a level go to the front of it, over
// messages that have been read. Each hash lies on its own message (the first) or on ones before it.
func TestInPlace(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, leaves := range []int{2, 4, 16, 32, 64, 256, 1024, 8192} {
			slice := random(leaves * Size)
			want := bytes.Clone(slice)
			for n := leaves / 2; n >= 1; n /= 2 {
				HashStrided(slice, Size, slice, 2*Size, n, 2*Size)
				for i := range n {
					h := hashAt(want, i*2*Size, 2*Size)
					copy(want[i*Size:], h[:])
				}
				if !bytes.Equal(slice, want) {
					t.Fatalf("%d leaves: wrong slice after the level of %d hashes", leaves, n)
				}
			}
		}
	})
}

// TestInPlaceOffsets writes each hash over its own message, in random order and at any place within
// the message.
func TestInPlaceOffsets(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := source(5)
		random := rand.New(r)
		for n := range 200 {
			slice := padded(r, n, Block, 50)
			want := bytes.Clone(slice)
			srcOff, dstOff := make([]uint32, n), make([]uint32, n)
			for i, place := range random.Perm(n) {
				srcOff[i] = uint32(place * Block)
				dstOff[i] = srcOff[i] + uint32(random.IntN(Block-Size+1))
				h := hashAt(slice, place*Block, 50)
				copy(want[dstOff[i]:], h[:])
			}
			Hash(slice, dstOff, slice, srcOff, 50)
			if !bytes.Equal(slice, want) {
				t.Fatalf("%d messages: wrong slice", n)
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	src, dst, off := random(71*Block), make([]byte, 71*Size), make([]uint32, 71)
	eachPath(t, func(t *testing.T) {
		got := testing.AllocsPerRun(10, func() {
			HashStrided(dst, Size, src, Block, 71, Block)
			Hash(dst, off, src, off, Block)
			HashPairs(dst, off, src, off, src, off)
		})
		if got != 0 {
			t.Errorf("%v allocations", got)
		}
	})
}
