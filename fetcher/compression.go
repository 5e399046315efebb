package fetcher

import (
	"bufio"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// The values of Info.Compression. Snappy's framing format counts as S2, which extends it.
const (
	compressionNone = "none"
	compressionZstd = "zstd"
	compressionGzip = "gzip"
	compressionS2   = "s2"
)

// sniffLength is how much of a batch sniff needs.
const sniffLength = 10

// sniff recognises a compression by the first bytes of its format. An honest uncompressed proof
// cannot begin with them: it is empty or begins with the tag of an element, 0x0a or 0x12. As
// protobuf, gzip's and S2's would be of a wire type that does not exist, zstd's of a field that
// proofs do not have.
func sniff(head []byte) string {
	s := string(head)
	switch {
	case strings.HasPrefix(s, "\x28\xb5\x2f\xfd"):
		return compressionZstd
	case len(s) >= 4 && s[0]&0xf0 == 0x50 && s[1:4] == "\x2a\x4d\x18":
		// A skippable frame, as pzstd writes first.
		return compressionZstd
	case strings.HasPrefix(s, "\x1f\x8b\x08"):
		return compressionGzip
	case strings.HasPrefix(s, "\xff\x06\x00\x00S2sTwO"), strings.HasPrefix(s, "\xff\x06\x00\x00sNaPpY"):
		return compressionS2
	}
	return compressionNone
}

// newDecoder returns a reader of the decompressed content of r. In all formats several frames may
// follow each other, as parallel compressors write them; anything else after a frame is an error,
// so all of r is read. Memory: the window and a little more for zstd, 9 MiB for S2, under 100 KiB
// for gzip.
func newDecoder(r *bufio.Reader, window int64) (io.ReadCloser, *windowReader, string, error) {
	head, err := r.Peek(sniffLength)
	if err != nil && err != io.EOF {
		return nil, nil, "", err
	}
	compression := sniff(head)
	switch compression {
	case compressionZstd:
		// One goroutine decodes faster than a network delivers, and a decoder without goroutines
		// cannot leak any.
		var source io.Reader = r
		var frames *windowReader
		if window >= maxBlock {
			frames = newWindowReader(r, window)
			source = frames
		}
		d, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(max(window, zstd.MinWindowSize))))
		if err != nil {
			return nil, nil, compression, err
		}
		return d.IOReadCloser(), frames, compression, nil
	case compressionGzip:
		d, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, compression, err
		}
		return d, nil, compression, nil
	case compressionS2:
		return io.NopCloser(s2.NewReader(r, s2.ReaderAllocBlock(64<<10))), nil, compression, nil
	}
	return io.NopCloser(r), nil, compression, nil
}
