package lanes

import (
	"bytes"
	"math"
	"testing"
)

// TestContract breaks each rule of the calls. They have to panic before they write anything.
func TestContract(t *testing.T) {
	offsets := func(n int, last uint32) []uint32 {
		off := make([]uint32, n)
		off[n-1] = last
		return off
	}
	cases := map[string]func(dst, src []byte){
		"length above 1024":      func(dst, src []byte) { Hash(dst, offsets(1, 0), make([]byte, 4096), offsets(1, 0), 1025) },
		"second block missing":   func(dst, src []byte) { Hash(dst, offsets(1, 0), src, offsets(1, 897), 65) },
		"strided, a block short": func(dst, src []byte) { HashStrided(dst, 32, src, 64, 16, 65) },
		"negative length":        func(dst, src []byte) { Hash(dst, offsets(1, 0), src, offsets(1, 0), -1) },
		"more hashes":            func(dst, src []byte) { Hash(dst, offsets(2, 0), src, offsets(1, 0), 1) },
		"more messages":          func(dst, src []byte) { Hash(dst, offsets(1, 0), src, offsets(2, 0), 1) },
		"window cut short":       func(dst, src []byte) { Hash(dst, offsets(1, 0), src, offsets(1, 961), 1) },
		"window far outside":     func(dst, src []byte) { Hash(dst, offsets(33, 0), src, offsets(33, math.MaxUint32), 1) },
		"hash cut short":         func(dst, src []byte) { Hash(dst, offsets(1, 993), src, offsets(1, 0), 1) },
		"hash far outside":       func(dst, src []byte) { Hash(dst, offsets(33, math.MaxUint32), src, offsets(33, 0), 1) },
		"no source":              func(dst, _ []byte) { Hash(dst, offsets(1, 0), nil, offsets(1, 0), 0) },
		"no destination":         func(_, src []byte) { Hash(nil, offsets(1, 0), src, offsets(1, 0), 0) },
		"pairs, more hashes":     func(dst, src []byte) { HashPairs(dst, offsets(2, 0), src, offsets(1, 0), src, offsets(1, 0)) },
		"pairs, fewer halves":    func(dst, src []byte) { HashPairs(dst, offsets(2, 0), src, offsets(2, 0), src, offsets(1, 0)) },
		"first half cut short":   func(dst, src []byte) { HashPairs(dst, offsets(1, 0), src, offsets(1, 993), src, offsets(1, 0)) },
		"second half cut short":  func(dst, src []byte) { HashPairs(dst, offsets(1, 0), src, offsets(1, 0), src, offsets(1, 993)) },
		"hash of pair cut short": func(dst, src []byte) { HashPairs(dst, offsets(1, 993), src, offsets(1, 0), src, offsets(1, 0)) },
		"half far outside": func(dst, src []byte) {
			HashPairs(dst, offsets(33, 0), src, offsets(33, 0), src, offsets(33, math.MaxUint32))
		},
		"no second half":         func(dst, src []byte) { HashPairs(dst, offsets(1, 0), src, offsets(1, 0), nil, offsets(1, 0)) },
		"strided length":         func(dst, src []byte) { HashStrided(dst, 32, make([]byte, 4096), 64, 1, 1025) },
		"negative number":        func(dst, src []byte) { HashStrided(dst, 32, src, 64, -1, 1) },
		"too many messages":      func(dst, src []byte) { HashStrided(dst, 32, src, 64, 17, 1) },
		"too many hashes":        func(dst, src []byte) { HashStrided(dst, 64, src, 32, 17, 1) },
		"number that overflows":  func(dst, src []byte) { HashStrided(dst, 32, src, 64, math.MaxInt, 1) },
		"overlapping hashes":     func(dst, src []byte) { HashStrided(dst, 31, src, 64, 2, 1) },
		"negative source stride": func(dst, src []byte) { HashStrided(dst, 32, src, -64, 2, 1) },
		"negative stride":        func(dst, src []byte) { HashStrided(dst, -32, src, 64, 2, 1) },
		"huge source stride":     func(dst, src []byte) { HashStrided(dst, 32, src, math.MaxInt, 2, 1) },
		"huge stride":            func(dst, src []byte) { HashStrided(dst, math.MaxInt, src, 64, 2, 1) },
		"strided, no source":     func(dst, _ []byte) { HashStrided(dst, 32, nil, 64, 1, 0) },
	}
	eachPath(t, func(t *testing.T) {
		for name, call := range cases {
			t.Run(name, func(t *testing.T) {
				dst, src := make([]byte, 1024), make([]byte, 1024)
				defer func() {
					if recover() == nil {
						t.Error("did not panic")
					}
					if !bytes.Equal(dst, make([]byte, 1024)) {
						t.Error("wrote before it panicked")
					}
				}()
				call(dst, src)
			})
		}
	})
}

// TestNothing makes calls that have nothing to do, on slices that have nothing.
func TestNothing(t *testing.T) {
	eachPath(t, func(*testing.T) {
		Hash(nil, nil, nil, nil, Block)
		HashStrided(nil, Size, nil, Block, 0, Block)
		HashPairs(nil, nil, nil, nil, nil, nil)
	})
}

// FuzzHash compares the paths with each other on messages of any content and at any offsets.
func FuzzHash(f *testing.F) {
	f.Add(random(4*Block), uint16(64), uint16(64))
	f.Add(random(100*Block), uint16(148), uint16(33))
	f.Add(random(Block), uint16(0), uint16(1))
	f.Fuzz(func(t *testing.T, src []byte, msgLen, step uint16) {
		size := blocks(int(msgLen))
		if msgLen > MaxLen || len(src) < size {
			return
		}
		n := min(len(src)/8, 300)
		srcOff, dstOff := make([]uint32, n), make([]uint32, n)
		for i := range n {
			srcOff[i] = uint32(i * int(step) % (len(src) - size + 1))
			dstOff[i] = uint32(i * Size)
		}
		var first []byte
		for _, path := range Paths() {
			use(t, path)
			dst := make([]byte, n*Size)
			Hash(dst, dstOff, src, srcOff, int(msgLen))
			pairs := make([]byte, n*Size)
			HashPairs(pairs, dstOff, src, srcOff, src[Block/2:], srcOff)
			if dst = append(dst, pairs...); first == nil {
				first = dst
			}
			if !bytes.Equal(dst, first) {
				t.Errorf("%s differs from %s", path, Paths()[0])
			}
		}
	})
}
