package fetcher

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// FuzzDecode: whatever is stored, decoding it ends in a whole batch or in an error that rejects it,
// hashes all of it, comes to the same in whatever pieces it arrives, and stays within its limits.
func FuzzDecode(f *testing.F) {
	content := like(400, 14)
	for _, stored := range [][]byte{
		nil, {0x0a}, content, zstdBytes(f, content), zstdFrame(content), gzipBytes(f, content), gzipStored(content),
		s2Bytes(f, content), snappyBytes(f, content), zstdBytes(f, make([]byte, 1<<20)), gzipBytes(f, make([]byte, 1<<20)),
		[]byte("\x53\x2a\x4d\x18\x05\x00\x00\x00hello"),
	} {
		f.Add(stored)
		f.Add(append(bytes.Clone(stored), 0))
		f.Add(stored[:len(stored)/2])
	}
	o := Options{MaxStoredBytes: 1 << 16, MaxBytes: 1 << 19, MaxRatio: 4, RatioFloor: 1 << 12, MaxWindow: 1 << 20}
	f.Fuzz(func(t *testing.T, stored []byte) {
		decode := func(r io.Reader) ([]byte, error) {
			batch, err := Decode(t.Context(), r, int64(len(stored)), o)
			if err != nil {
				if !errors.Is(err, ErrTooLarge) || len(stored) <= 1<<16 {
					t.Fatal(err)
				}
				return nil, err
			}
			defer batch.Close()
			got, err := io.ReadAll(batch)
			if err != nil && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			info, infoErr := batch.Info()
			if infoErr != nil || info.SHA256 != sum(stored) || info.StoredBytes != int64(len(stored)) || info.Bytes != int64(len(got)) {
				t.Fatalf("%+v, %v for %d bytes from %d", info, infoErr, len(got), len(stored))
			}
			if len(got) > max(1<<12, 4*len(stored)) || len(got) > 1<<19 {
				t.Fatalf("%d bytes from %d", len(got), len(stored))
			}
			if info.Compression == "none" && err == nil && !bytes.Equal(got, stored) {
				t.Fatal("other bytes without a compression")
			}
			return got, err
		}
		got, err := decode(bytes.NewReader(stored))
		again, errAgain := decode(iotest.OneByteReader(bytes.NewReader(stored)))
		if !bytes.Equal(got, again) || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("first %d bytes and %v, then %d and %v", len(got), err, len(again), errAgain)
		}
	})
}

// FuzzLocate: of two keys that a log lists, a batch is returned only under a name that is its own.
func FuzzLocate(f *testing.F) {
	for _, k := range []string{
		"", "1/", "1/" + digestA + "/", key(1, digestA, digestB), key(1, digestA, digestB) + ".zst", key(1, digestA, digestC),
		key(10, digestA, digestB), "1/x", key(1, digestA, digestB) + ".1f.tmp", "01/" + digestA + "/" + digestB, ".tmp", ".zst", "/", "//",
	} {
		f.Add(k, int64(0), key(1, digestA, digestB), int64(5))
		f.Add(k, int64(7), k, int64(7))
	}
	f.Fuzz(func(t *testing.T, a string, sizeA int64, b string, sizeB int64) {
		bucket := blob.NewBucket(&faultyBucket{list: func(int) ([]*driver.ListObject, bool, error) {
			return []*driver.ListObject{{Key: a, Size: sizeA}, {Key: b, Size: sizeB}}, false, nil
		}})
		defer bucket.Close()
		object, err := New(bucket, Options{}).Locate(t.Context(), 1)
		equivocation, _ := errors.AsType[*EquivocationError](err)
		stray, _ := errors.AsType[*NameError](err)
		switch {
		case err == nil:
			if object.Name.Epoch != 1 || object.Name.String()+object.Extension != object.Key || object.Key != a && object.Key != b {
				t.Fatalf("%q, %q: %+v", a, b, object)
			}
		case equivocation != nil:
			if len(equivocation.Keys) != 2 || equivocation.Keys[0] == equivocation.Keys[1] {
				t.Fatalf("%q, %q: %v", a, b, err)
			}
		case stray == nil && !errors.Is(err, ErrNotPublished):
			t.Fatalf("%q, %q: %v", a, b, err)
		}
	})
}
