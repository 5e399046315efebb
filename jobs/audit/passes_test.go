package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// What only a later pass over a batch finds is a fault of the source, whatever it is: it is never
// held against the log, nothing of the batch is kept, and once the source is well again the batch
// is verified.
func TestFaultsOfLaterPasses(t *testing.T) {
	t.Parallel()
	const narrow = 512 << 10
	name, proof, _ := jobstest.ShuffledBatch(t)
	encoder, err := zstd.NewWriter(nil, zstd.WithWindowSize(narrow))
	if err != nil {
		t.Fatal(err)
	}
	stored := encoder.EncodeAll(proof, nil)
	swapped := bytes.Clone(proof)
	swapped[len(swapped)-1] ^= 1
	corrupt := bytes.Clone(stored)
	corrupt[len(corrupt)-1] ^= 1 // of the checksum
	for what, c := range map[string]struct {
		before, later []byte // what is stored; nothing: it is gone
		extension     string
		metrics       observe.Metrics
		want          error
	}{
		"other bytes":    {proof, swapped, "", nil, validator.ErrChanged},
		"no proof":       {proof, bytes.Repeat([]byte{7}, len(proof)), "", nil, validator.ErrChanged},
		"fewer bytes":    {proof, proof[:len(proof)/2], "", nil, fetcher.ErrChanged},
		"nothing":        {proof, nil, "", nil, nil},
		"too large":      {stored, padded(t, encoder.EncodeAll(make([]byte, 2*len(proof)), nil), len(stored)), ".zst", nil, validator.ErrChanged},
		"corrupt":        {stored, corrupt, ".zst", nil, validator.ErrChanged},
		"wide window":    {stored, padded(t, wide(t, proof[:1<<20]), len(stored)), ".zst", nil, fetcher.ErrWindow},
		"panic at first": {proof, proof, "", &panickingAt{memory: 2}, nil},
		"panic at last":  {proof, proof, "", &panickingAt{read: 1}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			log, folder := jobstest.OpenMemory(t), t.TempDir()
			put := func(content []byte) {
				_ = log.Delete(t.Context(), name+c.extension)
				var err error
				if content != nil {
					err = log.WriteAll(t.Context(), name+c.extension, content, nil)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if err := log.WriteAll(t.Context(), name+c.extension, c.before, nil); err != nil {
				t.Fatal(err)
			}
			store, err := auditstore.Open(t.Context(), folder)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			var looks atomic.Int32 // the first expects an order, and the second is the first pass
			faults := &jobstest.FaultyReads{Seed: rand.New(rand.NewPCG(1, 1)), BeforeOpen: func() {
				if looks.Add(1) == 3 {
					put(c.later)
				}
			}}
			w := worldOf(jobstest.WorldIn(t, log, nil, store))
			w.config.Keys, w.config.Archive, w.config.Metrics = signature.Keys{}, true, c.metrics
			w.config.Budget = verify.NewBudget(1)
			w.config.Fetcher = fetcher.New(faults.Over(t, log), fetcher.Options{
				MaxBytes: int64(len(proof)), MaxWindow: narrow, MaxAttempts: 1,
			})
			a := w.auditor(t)
			v, err := a.Audit(t.Context(), 3)
			if err == nil || IsNotYet(err) || c.want != nil && !errors.Is(err, c.want) || c.metrics != nil && !strings.Contains(err.Error(), "panic") {
				t.Errorf("got %s (%s: %s), %v; want %v", v.Outcome, v.Reason, v.Detail, err, c.want)
			}
			if looks.Load() < 3 && what != "panic at first" {
				t.Errorf("%d looks", looks.Load())
			}
			if _, err := store.Verdict(t.Context(), jobstest.Namespace, 3); !errors.Is(err, auditstore.ErrNotFound) {
				t.Errorf("on record is %v", err)
			}
			if kept := filesUnder(t, folder); len(kept) > 0 {
				t.Errorf("kept are %q", kept)
			}
			looks.Store(10)
			put(c.before)
			if v, err := a.Audit(t.Context(), 3); err != nil || v.Outcome != verdict.Verified {
				t.Errorf("then it is %s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
			}
		})
	}
}

// padded is a zstd stream of so many bytes that unpacks to what b does.
func padded(t *testing.T, b []byte, size int) []byte {
	t.Helper()
	n := size - len(b) - 8
	if n < 0 {
		t.Fatalf("%d bytes are more than %d", len(b), size)
	}
	b = append(bytes.Clone(b), 0x50, 0x2a, 0x4d, 0x18, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)) // a frame to skip
	return append(b, make([]byte, n)...)
}

// wide is a zstd stream that needs as large a window as the part has bytes.
func wide(t *testing.T, part []byte) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	return encoder.EncodeAll(bytes.Repeat(part, 3), nil)
}

// filesUnder lists all files in a folder.
func filesUnder(t *testing.T, folder string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
