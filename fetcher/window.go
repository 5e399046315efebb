package fetcher

import (
	"bufio"
	"encoding/binary"
	"math/bits"
)

const (
	zstdMagic = 0xfd2fb528
	// maxFrameHeader is the longest frame header: magic, descriptor, window, dictionary, size.
	maxFrameHeader = 4 + 1 + 1 + 4 + 8
	// maxBlock is how many bytes one block unpacks to. A window that is no smaller does not change
	// which blocks are valid.
	maxBlock = 128 << 10
)

// windowReader passes on zstd frames, and lowers the window that a frame asks for where that is
// more than there is memory for. A decoder allocates what a frame asks for, however little there is
// to decode; but a frame that unpacks to no more than the lower window reads the same with it. One
// that goes on may refer to what the decoder no longer has, and then ends in an error of the
// decoder's.
//
// It leaves everything that it does not understand to the decoder, as it is.
type windowReader struct {
	r      *bufio.Reader
	window int64 // the largest, of at least maxBlock

	lowered bool   // the window of a frame was
	header  []byte // to be passed on next
	left    int64  // bytes to pass on as they are, after that
	next    func() // what follows; nil if it is not understood
	check   bool   // the frame ends in a checksum
}

func newWindowReader(r *bufio.Reader, window int64) *windowReader {
	w := &windowReader{r: r, window: window}
	w.next = w.frame
	return w
}

// Read is for the decoder.
func (w *windowReader) Read(p []byte) (int, error) {
	if len(w.header) == 0 && w.left == 0 && w.next != nil {
		w.next()
	}
	switch {
	case len(w.header) > 0:
		n := copy(p, w.header)
		w.header = w.header[n:]
		return n, nil
	case w.next == nil:
		return w.r.Read(p)
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	return n, err
}

// frame is at the beginning of a frame, or at the end.
func (w *windowReader) frame() {
	b, _ := w.r.Peek(maxFrameHeader) // at the end, there is less
	w.next = nil
	if len(b) >= 8 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18 { // skippable
		w.left, w.next = 8+int64(binary.LittleEndian.Uint32(b[4:])), w.frame
		return
	}
	if len(b) < 6 || binary.LittleEndian.Uint32(b) != zstdMagic {
		return
	}
	descriptor := b[4]
	single := descriptor&0x20 != 0
	window, dictionary, size := 1, []int{0, 1, 2, 4}[descriptor&3], []int{0, 2, 4, 8}[descriptor>>6]
	if single {
		window, size = 0, max(size, 1)
	}
	length := 5 + window + dictionary + size
	if len(b) < length || descriptor&0x08 != 0 { // the reserved bit
		return
	}
	asked := uint64(0)
	if single {
		var field [8]byte
		copy(field[:], b[length-size:length])
		asked = binary.LittleEndian.Uint64(field[:]) // 256 less than meant in two bytes, and small
	} else {
		base := uint64(1) << (10 + b[5]>>3)
		asked = base + base/8*uint64(b[5]&7)
	}
	w.next, w.check = w.block, descriptor&0x04 != 0
	if asked <= uint64(w.window) {
		w.left = int64(length)
		return
	}
	w.lowered = true
	w.header = append(w.header[:0], b[:4]...)
	w.header = append(w.header, descriptor&^0x20, windowDescriptor(w.window))
	w.header = append(w.header, b[5+window:length]...)
	_, _ = w.r.Discard(length) // it was peeked at
}

// windowDescriptor is the largest window of at most so many bytes, as a frame header has it.
func windowDescriptor(window int64) byte {
	exponent := bits.Len64(uint64(window)) - 1
	base := int64(1) << exponent
	return byte((exponent-10)<<3) | byte((window-base)/(base/8))
}

// block is at the beginning of a block.
func (w *windowReader) block() {
	b, _ := w.r.Peek(3)
	w.next = nil
	if len(b) < 3 {
		return
	}
	header := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
	last, kind, size := header&1 != 0, header>>1&3, header>>3
	switch kind {
	case 1: // one byte, repeated
		size = 1
	case 3: // reserved
		return
	}
	w.left, w.next = 3+size, w.block
	if last {
		w.next = w.frame
		if w.check {
			w.left += 4
		}
	}
}
