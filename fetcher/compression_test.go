package fetcher

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// samples holds content in all formats, by several writers. The proof of epoch 1 of the vectors stands for real ones.
func samples(t *testing.T, content []byte) map[string][2]any {
	t.Helper()
	third := len(content) / 3
	z, g, s := zstdBytes(t, content[:third]), gzipBytes(t, content[:third]), s2Bytes(t, content[:third])
	skippable := append([]byte{0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0}, "hello"...)
	return map[string][2]any{
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
	for _, size := range []int{0, 1, 1000, 300 << 10, 9 << 20} {
		content := like(size, uint64(size))
		for name, sample := range samples(t, content) {
			if size == 0 && name != "none" && len(sample[1].([]byte)) == 0 {
				continue // a writer that writes nothing of nothing
			}
			stored := sample[1].([]byte)
			t.Run(name, func(t *testing.T) {
				wantWhole(t, fetch(t, one(stored, nil), Options{}, nil), stored, content, sample[0].(string))
			})
		}
	}
}

// What the commands write that a log's operator would use.
func TestCommands(t *testing.T) {
	t.Parallel()
	content := like(3<<20, 20)
	for _, command := range [][]string{
		{"zstd", "-q", "-3"}, {"zstd", "-q", "-19"}, {"zstd", "-q", "--ultra", "-22"}, {"zstd", "-q", "--long=27"},
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

// No beginning of an honest proof is taken for a compression: the tag of an element, its length, the tag of a label.
func TestSniffHonest(t *testing.T) {
	t.Parallel()
	for _, tag := range []byte{0x0a, 0x12} {
		head := make([]byte, sniffLength)
		head[0] = tag
		for a := range 256 {
			for b := range 256 {
				for _, c := range []byte{0, 8, 10, 18, 0x4d, 0x2f, 0xff} {
					head[1], head[2], head[3] = byte(a), byte(b), c
					if got := sniff(head); got != "none" {
						t.Fatalf("% x is %s", head, got)
					}
				}
			}
		}
	}
	vectors, err := filepath.Glob("../testdata/vectors/*/*/proof*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range vectors {
		proof, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := sniff(proof[:min(len(proof), sniffLength)]); got != "none" {
			t.Errorf("%s is %s", file, got)
		}
	}
}

// Damage to a compressed object that did arrive whole is a finding, and the hash still covers all of it.
func TestCorrupt(t *testing.T) {
	t.Parallel()
	content := like(100<<10, 9)
	for name, sample := range samples(t, content) {
		stored := sample[1].([]byte)
		if name == "none" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damaged := map[string][]byte{
				"garbage after it": slices.Concat(stored, []byte("garbage")),
				"one byte after":   slices.Concat(stored, []byte{0x0a}),
				"zeros after it":   slices.Concat(stored, make([]byte, 512)),
				"a proof after it": slices.Concat(stored, content),
				"cut in half":      stored[:len(stored)/2],
				"one byte short":   stored[:len(stored)-1],
			}
			if name == "zstd unchecked" || name == "zstd uncompressed" {
				delete(damaged, "")
			} else {
				flipped := slices.Clone(stored)
				flipped[len(flipped)/2] ^= 0x10
				damaged["a bit flipped"] = flipped
			}
			for what, bad := range damaged {
				batch := fetch(t, one(bad, nil), Options{}, nil)
				_, err := io.Copy(io.Discard, batch)
				if !errors.Is(err, ErrCorrupt) || Transient(err) {
					t.Errorf("%s: got %v, want ErrCorrupt", what, err)
				}
				if err := batch.Finish(); err != nil {
					t.Errorf("%s: Finish gave %v", what, err)
				}
				if info, err := batch.Info(); err != nil || info.SHA256 != sum(bad) || info.StoredBytes != int64(len(bad)) {
					t.Errorf("%s: got %+v, %v", what, info, err)
				}
			}
		})
	}
}

// Every beginning of a compressed object is corrupt: there is no place where a store could cut it unnoticed.
func TestTruncated(t *testing.T) {
	t.Parallel()
	content := like(1500, 10)
	skippable := append([]byte{0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0}, "hello"...)
	for name, stored := range map[string][]byte{
		"zstd": zstdBytes(t, content), "gzip": gzipBytes(t, content), "s2": s2Bytes(t, content), "snappy": snappyBytes(t, content),
		"skippable": slices.Concat(skippable, skippable)[:len(skippable)*2-1],
	} {
		for n := sniffLength; n < len(stored); n++ {
			if name == "skippable" && n == len(skippable) {
				continue // a whole frame, of nothing
			}
			batch, err := Decode(t.Context(), bytes.NewReader(stored[:n]), int64(n), Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(batch)
			if !errors.Is(err, ErrCorrupt) && !(err == nil && isFrameEnd(name, stored, n)) {
				t.Errorf("%s: the first %d of %d bytes gave %d bytes and %v", name, n, len(stored), len(got), err)
			}
			_ = batch.Close()
		}
	}
}

// isFrameEnd: S2's framing has no end mark, so that a stream may end after any chunk: here, only after its identifier.
func isFrameEnd(name string, _ []byte, n int) bool {
	return (name == "s2" || name == "snappy") && n == sniffLength
}

// Bombs are caught by ratio or size, at no more than a few megabytes of memory.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	for name, bomb := range map[string][]byte{
		"zstd": bytes.Repeat(zstdBytes(t, zeros), 64), "gzip": bytes.Repeat(gzipBytes(t, zeros), 16), "s2": bytes.Repeat(s2Bytes(t, zeros), 16),
	} {
		for limit, test := range map[string]struct {
			options Options
			want    int64
		}{
			"ratio": {Options{MaxRatio: 2, RatioFloor: 1 << 20}, max(2*int64(len(bomb)), 1<<20)},
			"floor": {Options{MaxRatio: 1, RatioFloor: 20 << 20}, max(int64(len(bomb)), 20<<20)},
			"size":  {Options{MaxRatio: 1 << 40, MaxBytes: 30<<20 + 1}, 30<<20 + 1},
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			batch := fetch(t, one(bomb, nil), test.options, nil)
			n, err := io.Copy(io.Discard, batch)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) || Transient(err) {
				t.Errorf("%s, %s: got %v, want ErrTooLarge", name, limit, err)
			}
			if n != test.want {
				t.Errorf("%s, %s: %d bytes came through, want %d", name, limit, n, test.want)
			}
			if info, err := batch.Info(); err != nil || info.Bytes != n || info.SHA256 != sum(bomb) {
				t.Errorf("%s, %s: got %+v, %v", name, limit, info, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 24<<20 {
				t.Errorf("%s, %s: %d MiB allocated", name, limit, used>>20)
			}
			_ = batch.Close()
		}
	}
}

// The defaults let anything pass that isn't far from all proofs, and Open refuses an object by its size alone.
func TestLimits(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 16<<20)
	stored := zstdBytes(t, zeros)
	wantWhole(t, fetch(t, one(stored, nil), Options{}, nil), stored, zeros, "zstd")

	content := random(1000, 11)
	wantWhole(t, fetch(t, one(content, nil), Options{MaxBytes: 1000, MaxStoredBytes: 1000}, nil), content, content, "none")
	batch := fetch(t, one(content, nil), Options{MaxBytes: 999}, nil)
	if n, err := io.Copy(io.Discard, batch); n != 999 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("MaxBytes: %d bytes, %v", n, err)
	}

	f := New(one(content, nil).open(t), Options{MaxStoredBytes: 999})
	object, err := f.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), object, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("MaxStoredBytes: %v", err)
	}
	object.Size = -1
	if _, err := f.Open(t.Context(), object, nil); err == nil || !Transient(err) {
		t.Errorf("negative size: %v", err)
	}
	if got := (Options{MaxRatio: 1 << 62}).withDefaults().maxBytes(1 << 62); got != 4<<30 {
		t.Errorf("limit overflows to %d", got)
	}
}

// A frame may ask for MaxWindow and no more, and asking costs a decoder no more than that.
func TestWindow(t *testing.T) {
	frame := zstdFrame([]byte("proof"))
	frame[5] = 17 << 3 // 2^27
	for _, test := range []struct {
		window int64
		err    error
	}{{128 << 20, nil}, {128<<20 - 1, ErrTooLarge}, {1, ErrTooLarge}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		batch := fetch(t, one(frame, nil), Options{MaxWindow: test.window}, nil)
		_, err := io.Copy(io.Discard, batch)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, test.err) {
			t.Errorf("window %d: %v", test.window, err)
		}
		t.Logf("window limit %d: %d KiB allocated", test.window, (after.TotalAlloc-before.TotalAlloc)>>10)
	}
}
