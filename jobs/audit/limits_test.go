package audit

import (
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestBatchThatUnpacksToMoreThanExpected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	w.config.Archive = true
	key := w.KeyOf(t, 1)
	proof, err := w.Log.ReadAll(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	// An unknown field of 3 MiB zeros, which every decoder skips and which nearly vanishes in
	// compression.
	proof = append(proof, 15<<3|2, 0x80, 0x80, 0xc0, 0x01)
	proof = append(proof, make([]byte, 3<<20)...)
	encoder, _ := zstd.NewWriter(nil)
	stored := encoder.EncodeAll(proof, nil)
	if err := w.Log.WriteAll(t.Context(), key, stored, nil); err != nil {
		t.Fatal(err)
	}
	v, err := w.auditor(t).Audit(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.Outcome != verdict.Verified || v.Batch.Bytes != int64(len(proof)) || v.Batch.StoredBytes != int64(len(stored)) {
		t.Errorf("verdict is %+v", v)
	}
}

func TestTooLargeIsRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits fetcher.Options
		proof  validator.Options
	}{
		{"stored", fetcher.Options{MaxStoredBytes: 100}, validator.Options{}},
		{"unpacked", fetcher.Options{MaxBytes: 100}, validator.Options{}},
		{"proof", fetcher.Options{}, validator.Options{MaxBytes: 100}},
		{"elements", fetcher.Options{}, validator.Options{MaxElements: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 1})
			w.config.Fetcher, w.config.Limits = fetcher.New(w.Log, c.limits), c.proof
			v, err := w.auditor(t).Audit(t.Context(), 1)
			if err != nil || v.Reason != verdict.BatchTooLarge {
				t.Errorf("verdict is %s (%s), %v", v.Outcome, v.Reason, err)
			}
			if c.name == "stored" { // and so was not read
				if got := w.Evidence(t, 1); len(got) != 1 || !strings.Contains(got[0], w.KeyOf(t, 1)) {
					t.Errorf("evidence is %q", got)
				}
			} else {
				w.WantArchived(t, 1)
			}
		})
	}
}
