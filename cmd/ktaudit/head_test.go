package main

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// The head comes with a digest that people trust. A verdict that somebody put in the place of a
// sealed one gives none.
func TestHeadIsAsSealed(t *testing.T) {
	t.Parallel()
	const key = "example/verdicts/000000000/000000000999.json"
	for name, c := range map[string]struct {
		from, to string // a part of the verdict, and what takes its place
		fine     bool
	}{
		"as it was":      {"", "", true},
		"another digest": {madeUpDigest(999), madeUpDigest(7), false},
		"rejected":       {`"outcome":"verified"`, `"outcome":"rejected","reason":"digest_mismatch"`, false},
		"no verdict":     {"{", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := memblob.OpenBucket(nil)
			store := auditstore.New(bucket)
			t.Cleanup(func() { _ = store.Close() })
			for epoch := uint64(1); epoch <= 999; epoch++ {
				_, _, err := store.PutVerdict(t.Context(), verdict.Verdict{
					Schema: verdict.Schema, Namespace: "example", Epoch: epoch, Outcome: verdict.Verified,
					PreviousDigest: madeUpDigest(epoch - 1), Digest: madeUpDigest(epoch), Batch: verdict.Batch{SHA256: madeUpDigest(epoch)},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			sealer := seal.Sealer{Store: store, Namespace: "example", Log: zerolog.Nop()}
			if _, err := sealer.Seal(t.Context(), 1, 999); err != nil {
				t.Fatal(err)
			}
			replace(t, bucket, key, c.from, c.to)
			h, err := report.ReadHead(t.Context(), store, "example", verdict.Anchor{}, 0)
			if h.Head != 999 || (err == nil) != c.fine || (h.Digest == madeUpDigest(999)) != c.fine {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
}

func replace(t *testing.T, bucket *blob.Bucket, key, from, to string) {
	t.Helper()
	data, err := bucket.ReadAll(t.Context(), key)
	if err == nil {
		err = bucket.WriteAll(t.Context(), key, []byte(strings.Replace(string(data), from, to, 1)), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
