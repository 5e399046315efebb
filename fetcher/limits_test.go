package fetcher

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Bombs are caught by ratio or size, at no more than a few megabytes of memory. Not in parallel, to
// measure that.
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

// The defaults let anything pass that isn't far from all proofs, and Open refuses an object by its
// size alone.
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

// A frame may ask for any window, and asking costs a decoder no more than MaxWindow and no more
// than the batch may unpack to. Not in parallel either.
func TestHostileWindow(t *testing.T) {
	frame := zstdFrame([]byte("proof"))
	frame[5] = 18 << 3 // 2^28, as zstd --long=28
	for _, test := range []struct {
		window int64
		most   uint64
		err    error
	}{{0, 17 << 20, nil}, {128 << 20, 17 << 20, nil}, {1 << 20, 1 << 20, nil}, {256 << 10, 256 << 10, nil}, {1, 0, ErrWindow}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		batch := fetch(t, one(frame, nil), Options{MaxWindow: test.window}, nil)
		_, err := io.Copy(io.Discard, batch)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, test.err) {
			t.Errorf("window %d: %v", test.window, err)
		}
		if err != nil && !Transient(err) {
			t.Errorf("window %d: %v is held against the log", test.window, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > test.most+1<<20 {
			t.Errorf("window %d: %d KiB allocated", test.window, used>>10)
		}
	}
}

// A caller short of memory can ask for a smaller window first, and learns from ErrWindow that it is
// too small.
func TestWithWindow(t *testing.T) {
	t.Parallel()
	wide := zstdFrame([]byte("proof"))
	wide[5] = 13 << 3 // 8 MiB
	single := zstdBytes(t, like(64<<10, 15), zstd.WithSingleSegment(true))
	half := random(1<<20, 16)
	far := zstdBytes(t, slices.Concat(half, half, half), zstd.WithSingleSegment(true), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if len(far) > 3<<20/2 {
		t.Fatalf("%d bytes refer to nothing far behind", len(far))
	}
	broken := slices.Clone(wide)
	broken[len(broken)-8] = 0xff // the header of the last block
	for name, test := range map[string]struct {
		stored []byte
		window int64
		err    error
	}{
		"wide enough":             {wide, 8 << 20, nil},
		"wider than its content":  {wide, 128 << 10, nil},
		"too narrow to tell":      {wide, 128<<10 - 1, ErrWindow},
		"far back":                {far, 3 << 20, nil},
		"far back, narrow":        {far, 1 << 19, ErrWindow},
		"damaged":                 {broken, 128 << 10, ErrCorrupt},
		"none":                    {wide, 0, ErrWindow},
		"no wider than MaxWindow": {wide, 1 << 40, nil},
		"single segment":          {single, 64 << 10, nil},
		"single segment, narrow":  {single, 64<<10 - 1, ErrWindow},
	} {
		f := New(one(test.stored, nil).open(t), Options{MaxWindow: 16 << 20}).WithWindow(test.window)
		if f.MaxWindow() < zstd.MinWindowSize || f.MaxWindow() > 16<<20 {
			t.Errorf("%s: window %d", name, f.MaxWindow())
		}
		object, err := f.Locate(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := f.Open(t.Context(), object, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, batch)
		if !errors.Is(err, test.err) || errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v, want %v", name, err, test.err)
		}
		_ = batch.Close()
	}
}
