package fetcher

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// compressed writes content through a compressor.
func compressed(t testing.TB, content []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdBytes(t testing.TB, content []byte, o ...zstd.EOption) []byte {
	t.Helper()
	o = append(o, zstd.WithEncoderConcurrency(1))
	return compressed(t, content, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, o...) })
}

func gzipBytes(t testing.TB, content []byte) []byte {
	t.Helper()
	return compressed(t, content, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
}

func s2Bytes(t testing.TB, content []byte, o ...s2.WriterOption) []byte {
	t.Helper()
	return compressed(t, content, func(w io.Writer) (io.WriteCloser, error) { return s2.NewWriter(w, o...), nil })
}

func snappyBytes(t testing.TB, content []byte) []byte {
	t.Helper()
	return compressed(t, content, func(w io.Writer) (io.WriteCloser, error) { return snappy.NewBufferedWriter(w), nil })
}

// zstdFrame is content as a zstd frame written by hand, of blocks that aren't compressed.
func zstdFrame(content []byte) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3} // no content size, no checksum, window 128 KiB
	for last := false; !last; {
		n := min(len(content), 128<<10)
		last = n == len(content)
		header := uint32(n) << 3
		if last {
			header |= 1
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16))
		b = append(b, content[:n]...)
		content = content[n:]
	}
	return b
}

// gzipStored is content as a gzip member written by hand, of blocks that aren't compressed.
func gzipStored(content []byte) []byte {
	checksum, size := crc32.ChecksumIEEE(content), uint32(len(content))
	b := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	for last := false; !last; {
		n := min(len(content), 65535)
		last = n == len(content)
		final := byte(0)
		if last {
			final = 1
		}
		b = append(b, final)
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, ^uint16(n))
		b = append(b, content[:n]...)
		content = content[n:]
	}
	b = binary.LittleEndian.AppendUint32(b, checksum)
	return binary.LittleEndian.AppendUint32(b, size)
}

// like is n bytes that compress about as well as a proof does.
func like(n int, seed uint64) []byte {
	b := random(n, seed)
	for i := 0; i+64 <= n; i += 64 {
		copy(b[i:], "\x0a\x4a\x0a\x25\x0a\x20")
		clear(b[i+40 : i+52])
	}
	return b
}

// sample is a batch as a log may store it.
type sample struct {
	compression string
	stored      []byte
}

// samples holds content in all formats, by several writers.
func samples(t *testing.T, content []byte) map[string]sample {
	t.Helper()
	third := len(content) / 3
	z, g, s := zstdBytes(t, content[:third]), gzipBytes(t, content[:third]), s2Bytes(t, content[:third])
	skippable := append([]byte{0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0}, "hello"...)
	return map[string]sample{
		"none":              {"none", content},
		"zstd":              {"zstd", zstdBytes(t, content)},
		"zstd best":         {"zstd", zstdBytes(t, content, zstd.WithEncoderLevel(zstd.SpeedBestCompression))},
		"zstd 64 MiB":       {"zstd", zstdBytes(t, content, zstd.WithWindowSize(64<<20))},
		"zstd one segment":  {"zstd", zstdBytes(t, content, zstd.WithSingleSegment(true))},
		"zstd unchecked":    {"zstd", zstdBytes(t, content, zstd.WithEncoderCRC(false))},
		"zstd uncompressed": {"zstd", zstdFrame(content)},
		"zstd frames":       {"zstd", slices.Concat(z, zstdBytes(t, content[third:]))},
		"zstd empty frame":  {"zstd", slices.Concat(zstdFrame(nil), zstdBytes(t, content))},
		"zstd skippable":    {"zstd", slices.Concat(skippable, zstdBytes(t, content), skippable)},
		"gzip":              {"gzip", gzipBytes(t, content)},
		"gzip stored":       {"gzip", gzipStored(content)},
		"gzip members":      {"gzip", slices.Concat(g, gzipBytes(t, content[third:]))},
		"gzip by Go": {"gzip", compressed(t, content, func(w io.Writer) (io.WriteCloser, error) {
			z, err := stdgzip.NewWriterLevel(w, 9)
			z.Name, z.Comment, z.Extra = "proof", "of an epoch", []byte("extra")
			return z, err
		})},
		"s2":          {"s2", s2Bytes(t, content)},
		"s2 4 MiB":    {"s2", s2Bytes(t, content, s2.WriterBlockSize(4<<20), s2.WriterBetterCompression())},
		"s2 index":    {"s2", s2Bytes(t, content, s2.WriterAddIndex(), s2.WriterPadding(4096))},
		"s2 streams":  {"s2", slices.Concat(s, s2Bytes(t, content[third:]))},
		"snappy":      {"s2", snappyBytes(t, content)},
		"snappy + s2": {"s2", slices.Concat(snappyBytes(t, content[:third]), s2Bytes(t, content[third:]))},
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1000, 300 << 10, 1500 << 10} {
		content := like(size, uint64(size))
		for name, sample := range samples(t, content) {
			if sniff(sample.stored[:min(len(sample.stored), sniffLength)]) != sample.compression {
				// For no content, some writers write nothing, or a frame that no format begins
				// with.
				continue
			}
			t.Run(fmt.Sprintf("%s of %d", name, size), func(t *testing.T) {
				t.Parallel()
				wantWhole(t, fetch(t, one(sample.stored, nil), Options{}, nil), sample.stored, content, sample.compression)
			})
		}
	}
}

// With a smaller window than frames ask for, a batch reads the same, or is said to need more.
func TestFormatsInNarrowWindows(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1000, 300 << 10, 1500 << 10} {
		content := like(size, uint64(size))
		for name, sample := range samples(t, content) {
			for _, window := range []int64{128 << 10, 300 << 10, 1 << 20, 1<<20 + 1<<19} {
				batch := fetch(t, one(sample.stored, nil), Options{MaxWindow: window}, nil)
				got, err := io.ReadAll(batch)
				if errors.Is(err, ErrWindow) && int64(size) > window-maxBlock {
					continue
				}
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s of %d in %d: %d bytes, %v", name, size, window, len(got), err)
				}
			}
		}
	}
}

// What the commands write that a log's operator would use.
func TestCommands(t *testing.T) {
	t.Parallel()
	content := like(600<<10, 20)
	for _, command := range [][]string{
		{"zstd", "-q", "-3"}, {"zstd", "-q", "-19"}, {"zstd", "-q", "--ultra", "-22"}, {"zstd", "-q", "--long=27"},
		{"zstd", "-q", "--long=28"}, {"zstd", "-q", "--ultra", "--long=31"},
		{"zstd", "-q", "-T0", "--rsyncable"}, {"gzip", "-9"}, {"gzip", "-1"},
	} {
		path, err := exec.LookPath(command[0])
		if err != nil {
			t.Logf("%s is not installed; klauspost's and Go's own writers are tested in TestFormats", command[0])
			continue
		}
		file := filepath.Join(t.TempDir(), "proof")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		stored, err := exec.CommandContext(t.Context(), path, append(command[1:], "-c", file)...).Output()
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		wantWhole(t, fetch(t, one(stored, nil), Options{}, nil), stored, content, command[0])
	}
}
