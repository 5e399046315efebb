package fetcher

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// No beginning of an honest proof is taken for a compression: the tag of an element, its length,
// the tag of a label.
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
	proofs := 0
	err := filepath.WalkDir("../testdata/vectors", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || len(d.Name()) != 64 {
			return err
		}
		proofs++
		proof, err := os.ReadFile(path)
		if got := sniff(proof[:min(len(proof), sniffLength)]); got != "none" {
			t.Errorf("%s is %s", path, got)
		}
		return err
	})
	if err != nil || proofs < 30 {
		t.Errorf("%d proofs among the vectors, %v", proofs, err)
	}
}

// Damage to a compressed object that did arrive whole is grounds for a rejection, and the hash
// still covers all of it.
func TestCorrupt(t *testing.T) {
	t.Parallel()
	content := like(100<<10, 9)
	for name, sample := range samples(t, content) {
		if name == "none" {
			continue
		}
		stored := sample.stored
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
			// These two have no checksum that could show the damage.
			if name != "zstd unchecked" && name != "zstd uncompressed" {
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

// There is hardly a place where a store could cut a compressed object unnoticed: the end of a
// skippable frame, and, since S2's framing has no end mark, of a chunk.
func TestTruncated(t *testing.T) {
	t.Parallel()
	content := like(1500, 10)
	skippable := []byte("\x53\x2a\x4d\x18\x05\x00\x00\x00hello")
	for name, test := range map[string]struct {
		stored []byte
		ends   []int
	}{
		"zstd":      {stored: zstdBytes(t, content)},
		"gzip":      {stored: gzipBytes(t, content)},
		"s2":        {stored: s2Bytes(t, content), ends: []int{10}},
		"snappy":    {stored: snappyBytes(t, content), ends: []int{10}},
		"skippable": {stored: slices.Concat(skippable, zstdBytes(t, content)), ends: []int{13}},
	} {
		for n := sniffLength; n < len(test.stored); n++ {
			batch, err := Decode(t.Context(), bytes.NewReader(test.stored[:n]), int64(n), Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, batch)
			if ends := slices.Contains(test.ends, n); ends != (err == nil) || !ends && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: the first %d of %d bytes gave %v", name, n, len(test.stored), err)
			}
			_ = batch.Close()
		}
	}
}
