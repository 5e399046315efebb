package seal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// Whatever somebody does to what is sealed is found, and told once.
func TestTamperedSeals(t *testing.T) {
	t.Parallel()
	verdictKey := func(epoch uint64) string {
		return fmt.Sprintf("%s/verdicts/%09d/%012d.json", jobstest.Namespace, epoch/1000, epoch)
	}
	sealKey := func(shard uint64) string { return fmt.Sprintf("%s/seals/%09d.json", jobstest.Namespace, shard) }
	const historyKey = jobstest.Namespace + "/history/999999999998.json"
	for _, c := range []struct {
		name   string
		change func(t *testing.T, b *blob.Bucket)
		want   string // part of the detail
		shard  uint64
	}{
		{"a verdict is gone", func(t *testing.T, b *blob.Bucket) { jobstest.MoveObject(t, b, verdictKey(1500), "") }, "epoch 1500's verdict is gone", 1},
		{"a verdict is cut", func(t *testing.T, b *blob.Bucket) { jobstest.Edit(t, b, verdictKey(7), `}`, ``) }, "epoch 7's verdict cannot be read", 0},
		{"a verdict is another's", func(t *testing.T, b *blob.Bucket) {
			jobstest.MoveObject(t, b, verdictKey(8), "")
			if err := b.Copy(t.Context(), verdictKey(8), verdictKey(9), nil); err != nil {
				t.Fatal(err)
			}
		}, "epoch 8's verdict cannot be read", 0},
		{"a verdict is better than it was", func(t *testing.T, b *blob.Bucket) {
			jobstest.Edit(t, b, verdictKey(1200), `"outcome":"rejected","reason":"digest_mismatch"`, `"outcome":"verified"`)
		}, "epoch 1200's verdict is another one", 1},
		{"a seal is gone", func(t *testing.T, b *blob.Bucket) { jobstest.MoveObject(t, b, sealKey(0), "") }, "not in the audit store", 0},
		{"a seal is cut", func(t *testing.T, b *blob.Bucket) { jobstest.Edit(t, b, sealKey(0), `}`, ``) }, "corrupt", 0},
		{"a seal says less", func(t *testing.T, b *blob.Bucket) {
			jobstest.Edit(t, b, sealKey(1), `"rejected":[{"epoch":1200,"reason":"digest_mismatch"}],`, ``)
		}, "the seal is not the one that the history names", 1},
		{"the history says less", func(t *testing.T, b *blob.Bucket) {
			jobstest.Edit(t, b, historyKey, `"rejected":[{"epoch":1200,"reason":"digest_mismatch"}],`, ``)
		}, "the history says otherwise than the seal", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bucket := jobstest.OpenMemory(t)
			store := auditstore.New(bucket)
			jobstest.Record(t, store, 1, 1999, func(v *verdict.Verdict) bool {
				if v.Epoch == 1200 {
					jobstest.Reject(v)
				}
				return true
			})
			sealAll(t, sealer(store))
			c.change(t, bucket)
			for range 2 {
				got, err := sealer(store).Check(t.Context(), 1, 1999)
				if err != nil || got.Checked != 2 || len(got.Mismatches) != 1 || got.Mismatches[0].Shard != c.shard ||
					!strings.Contains(got.Mismatches[0].Detail, c.want) || strings.Contains(got.Mismatches[0].Detail, "\n") {
					t.Fatalf("check: %+v, %v, want shard %d with %q", got, err, c.shard, c.want)
				}
			}
			want := []string{"1-rejected.000000001200", fmt.Sprintf("1-sealed_mismatch.%09d", c.shard)}
			if got := jobstest.Incidents(t, store); !slices.Equal(got, want) {
				t.Errorf("told of %q, want %q", got, want)
			}
		})
	}
}

// What goes wrong with a shard after something else did is told too.
func TestSecondTampering(t *testing.T) {
	t.Parallel()
	bucket := jobstest.OpenMemory(t)
	store := auditstore.New(bucket)
	jobstest.Record(t, store, 1, 999, nil)
	sealAll(t, sealer(store))
	for told, epoch := range []uint64{5, 7, 7} {
		if told < 2 {
			jobstest.MoveObject(t, bucket, fmt.Sprintf("%s/verdicts/000000000/%012d.json", jobstest.Namespace, epoch), "")
		}
		if _, err := sealer(store).Check(t.Context(), 1, 999); err != nil {
			t.Fatal(err)
		}
		want := []string{"1-sealed_mismatch.000000000", "1-sealed_mismatch.000000000"}[:min(told+1, 2)]
		if got := jobstest.Incidents(t, store); !slices.Equal(got, want) {
			t.Errorf("after epoch %d: told of %q, want %q", epoch, got, want)
		}
	}
}

// A check by chance finds what a whole one does, sooner or later.
func TestCheckAny(t *testing.T) {
	t.Parallel()
	bucket := jobstest.OpenMemory(t)
	store := auditstore.New(bucket)
	s := sealer(store)
	if err := s.CheckAny(t.Context()); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	jobstest.Record(t, store, 1, 2999, nil)
	sealAll(t, s)
	jobstest.Edit(t, bucket, jobstest.Namespace+"/seals/000000001.json", `"shard":1`, `"shard":1 `)
	for range 200 {
		if err := s.CheckAny(t.Context()); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(jobstest.Incidents(t, store), []string{"1-sealed_mismatch.000000001"}) {
			return
		}
	}
	t.Errorf("told of %q", jobstest.Incidents(t, store))
}

// Without a history the seals are still there: what was sealed is not sealed otherwise.
func TestLostHistory(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, b *blob.Bucket, key string){
		"gone": func(t *testing.T, b *blob.Bucket, key string) { jobstest.MoveObject(t, b, key, "") },
		"cut":  func(t *testing.T, b *blob.Bucket, key string) { jobstest.Edit(t, b, key, `}`, ``) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := jobstest.OpenMemory(t)
			store := auditstore.New(bucket)
			jobstest.Record(t, store, 1, 2999, nil)
			sealAll(t, sealer(store))
			before := readStatus(t, store, 0, 0)
			for _, key := range keysUnder(t, bucket, jobstest.Namespace+"/history/") {
				lose(t, bucket, key)
			}
			_, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
			if corrupt := errors.Is(err, auditstore.ErrCorrupt); corrupt != (name == "cut") {
				t.Errorf("status without a history: %v", err)
			}
			if counts := sealAll(t, sealer(store)); counts.Sealed != 3 {
				t.Errorf("made anew: %+v", counts)
			}
			if after := readStatus(t, store, 0, 0); after.Head != before.Head || after.SealedCount != before.SealedCount {
				t.Errorf("status is %+v, was %+v", after, before)
			}

			for _, key := range keysUnder(t, bucket, jobstest.Namespace+"/history/") {
				jobstest.MoveObject(t, bucket, key, "")
			}
			var v verdict.Verdict
			key := jobstest.Namespace + "/verdicts/000000001/000000001500.json"
			data, _ := bucket.ReadAll(t.Context(), key)
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			jobstest.Edit(t, bucket, key, v.Digest, jobstest.DigestOf("other", 1500))
			counts, err := sealer(store).Seal(t.Context(), 1, 2999)
			if !errors.Is(err, ErrMismatch) || counts != (Counts{Sealed: 2, Open: 1}) {
				t.Errorf("sealed with another verdict: %+v, %v", counts, err)
			}
			if !slices.Contains(jobstest.Incidents(t, store), "1-sealed_mismatch.000000001") {
				t.Errorf("told of %q", jobstest.Incidents(t, store))
			}
		})
	}
}

// A seal that is gone is told of, and keeps no other shard from being sealed.
func TestSealingBesideALostSeal(t *testing.T) {
	t.Parallel()
	bucket := jobstest.OpenMemory(t)
	store := auditstore.New(bucket)
	for _, shard := range []uint64{0, 2} { // not adjacent, so that digests are compared
		from, to := verdict.ShardRange(shard)
		jobstest.Record(t, store, from, to, nil)
		sealAll(t, sealer(store))
	}
	jobstest.MoveObject(t, bucket, jobstest.Namespace+"/seals/000000000.json", "")
	jobstest.Record(t, store, 4000, 4999, nil)
	if counts := sealAll(t, sealer(store)); counts != (Counts{Sealed: 1, AlreadySealed: 2}) {
		t.Errorf("sealed %+v", counts)
	}
	if got := jobstest.Incidents(t, store); !slices.Equal(got, []string{"1-sealed_mismatch.000000000"}) {
		t.Errorf("told of %q", got)
	}
}

// A history that cannot be read is in nobody's way after somebody has sealed, also where there is
// nothing to seal.
func TestSealingReplacesAHistoryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	bucket := jobstest.OpenMemory(t)
	store := auditstore.New(bucket)
	jobstest.Record(t, store, 1, 5, nil)
	if err := bucket.WriteAll(t.Context(), jobstest.Namespace+"/history/999999999998.json", []byte("{"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0); !errors.Is(err, auditstore.ErrCorrupt) {
		t.Errorf("status before: %v", err)
	}
	for range 2 {
		if counts := sealAll(t, sealer(store)); counts != (Counts{Open: 1}) {
			t.Errorf("sealed %+v", counts)
		}
	}
	if s := readStatus(t, store, 0, 0); s.Head != 5 {
		t.Errorf("head is %d", s.Head)
	}
	if got := jobstest.Incidents(t, store); !slices.Equal(got, []string{"1-sealed_mismatch.history-000000000001"}) {
		t.Errorf("told of %q", got)
	}
}

// A sealer that is much slower than others adds what it has sealed to what they have, and writes no
// history that adds nothing.
func TestSlowSealer(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	for shard := range uint64(4) {
		from, to := verdict.ShardRange(2 * shard)
		jobstest.Record(t, store, from, to, nil)
	}
	slow := sealer(store)
	old, err := slow.history(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, full, err := slow.sealShard(t.Context(), 6, false)
	if err != nil || !full {
		t.Fatal(full, err)
	}
	for shard := range uint64(3) {
		from, to := verdict.ShardRange(2 * shard)
		if _, err := sealer(store).Seal(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		h, err := slow.extend(t.Context(), old, []sealed{last})
		if err != nil || h.Shards() != 4 || h.Generation != 4 {
			t.Errorf("%d shards in generation %d, %v, want 4", h.Shards(), h.Generation, err)
		}
	}
	if s := readStatus(t, store, 0, 0); s.SealedCount != 3999 {
		t.Errorf("sealed are %d", s.SealedCount)
	}
}
