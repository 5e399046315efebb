package fetcher

import (
	"bytes"
	"io"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// BenchmarkBatch is the whole path from a bucket in memory to a reader that does nothing: sniffing,
// limits, SHA-256, decompression, read-ahead. MB/s are of the decompressed batch.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{5 << 10, 64 << 20} {
		content := like(size, 15)
		for name, stored := range map[string][]byte{
			"none": content, "zstd": zstdBytes(b, content, zstd.WithEncoderLevel(zstd.SpeedDefault)), "gzip": gzipBytes(b, content), "s2": s2Bytes(b, content),
		} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) {
				f := New(one(stored, nil).open(b), Options{})
				object, err := f.Locate(b.Context(), 1)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ReportMetric(float64(size)/float64(len(stored)), "ratio")
				for b.Loop() {
					batch, err := f.Open(b.Context(), object, nil)
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.Copy(onlyWriter{io.Discard}, batch); n != int64(size) || err != nil {
						b.Fatal(n, err)
					}
					_ = batch.Close()
				}
			})
		}
	}
}

// BenchmarkRanges is what it costs to fetch an object in ranges from a bucket in memory, where it
// gains nothing.
func BenchmarkRanges(b *testing.B) {
	content := like(64<<20, 15)
	for _, ranges := range []int{1, 6} {
		b.Run(strconv.Itoa(ranges), func(b *testing.B) {
			f := New(one(content, nil).open(b), Options{Ranges: ranges})
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				batch, err := f.Open(b.Context(), Object{Key: key(1, digestA, digestB), Size: int64(len(content))}, nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(onlyWriter{io.Discard}, batch); n != int64(len(content)) || err != nil {
					b.Fatal(n, err)
				}
				_ = batch.Close()
			}
		})
	}
}

// onlyWriter keeps io.Copy from choosing 8 KiB reads of io.Discard's own.
type onlyWriter struct{ io.Writer }

// BenchmarkSource is the same source without any of it, to compare with.
func BenchmarkSource(b *testing.B) {
	content := like(64<<20, 15)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if n, err := io.Copy(onlyWriter{io.Discard}, struct{ io.Reader }{bytes.NewReader(content)}); n != int64(len(content)) || err != nil {
			b.Fatal(n, err)
		}
	}
}
