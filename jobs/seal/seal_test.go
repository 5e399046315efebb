package seal

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

func sealer(store *auditstore.Store) *Sealer {
	return &Sealer{Store: store, Namespace: jobstest.Namespace, Log: zerolog.Nop()}
}

func sealAll(t testing.TB, s *Sealer) Counts {
	t.Helper()
	counts, err := s.Seal(t.Context(), 1, verdict.MaxEpoch)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func readStatus(t testing.TB, store *auditstore.Store, from, to uint64) report.Status {
	t.Helper()
	s, err := report.ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Sealing changes nothing about a status, whatever is wrong with the log, and in whatever order
// shards are judged and sealed.
func TestSealedStatusIsTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 5))
			plain, withSeals := auditstore.New(jobstest.OpenMemory(t)), auditstore.New(jobstest.OpenMemory(t))
			s := sealer(withSeals)
			rate := []int{60, 400, 4000}[random.IntN(3)]
			missing := random.IntN(3) == 0
			for _, shard := range random.Perm(3) { // a first, a last and one between
				from, to := verdict.ShardRange(uint64(shard))
				partial := missing && random.IntN(3) == 0
				at := random.Uint64()
				for _, store := range []*auditstore.Store{plain, withSeals} {
					random := rand.New(rand.NewPCG(at, 6))
					jobstest.Record(t, store, from, to, func(v *verdict.Verdict) bool {
						if random.IntN(rate) == 0 {
							switch random.IntN(3) {
							case 0:
								jobstest.Reject(v)
							case 1:
								v.PreviousDigest = jobstest.DigestOf("other", v.Epoch)
							case 2:
								v.Digest = jobstest.DigestOf("other", v.Epoch)
							}
						}
						return !partial || random.IntN(100) != 0
					})
				}
				if random.IntN(2) == 0 {
					sealAll(t, s)
				}
			}
			sealAll(t, s)
			for range 5 {
				from, to := uint64(random.IntN(3300)), uint64(0)
				if random.IntN(4) == 0 {
					from = 0
				}
				if random.IntN(2) == 0 {
					to = max(from, 1) + uint64(random.IntN(2500))
				}
				want, got := readStatus(t, plain, from, to), readStatus(t, withSeals, from, to)
				if got.HeldBackBy != "" { // sealing raises what nobody told of before
					want.Head = got.Head
				}
				if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(report.Status{}, "SealedCount", "Incidents", "HeldBackBy")); diff != "" {
					t.Fatalf("status of %d to %d with seals differs (-want +got):\n%s", from, to, diff)
				}
				if want.SealedCount != 0 || from == 0 && to == 0 && !missing && got.SealedCount == 0 {
					t.Errorf("sealed are %d without seals and %d with", want.SealedCount, got.SealedCount)
				}
			}
			check, err := s.Check(t.Context(), 1, verdict.MaxEpoch)
			if err != nil || len(check.Mismatches) != 0 {
				t.Errorf("check: %+v, %v", check, err)
			}
		})
	}
}

func TestSealCounts(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	s := sealer(store)
	if got := sealAll(t, s); got != (Counts{}) {
		t.Errorf("of nothing: %+v", got)
	}
	jobstest.Record(t, store, 1, 2500, nil)
	jobstest.Record(t, store, 4000, 4999, nil)
	if got := sealAll(t, s); got != (Counts{Sealed: 3, Open: 1}) {
		t.Errorf("first: %+v", got)
	}
	if got := sealAll(t, s); got != (Counts{AlreadySealed: 3, Open: 1}) {
		t.Errorf("again: %+v", got)
	}
	jobstest.Record(t, store, 2501, 3999, nil)
	if got := sealAll(t, sealer(store)); got != (Counts{Sealed: 2, AlreadySealed: 3}) {
		t.Errorf("with what was missing: %+v", got)
	}
	h, err := store.History(t.Context(), jobstest.Namespace)
	if err != nil || len(h.Spans) != 1 || h.Spans[0].From != 1 || h.Spans[0].To != 4999 {
		t.Errorf("history %+v, %v, want one span", h.Spans, err)
	}
	if names := jobstest.Incidents(t, store); len(names) != 0 {
		t.Errorf("told of %q, and all is well", names)
	}
	if got, err := s.Seal(t.Context(), 2000, 2000); err != nil || got != (Counts{AlreadySealed: 1}) {
		t.Errorf("of one shard: %+v, %v", got, err)
	}
}

// Sealers that work at once make one history, and none gets in another's way: one for each
// shard, whose histories differ, and one for all of them.
func TestSealersAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shards uint64
		open   func(t *testing.T) *auditstore.Store
	}{
		"memory": {4, func(t *testing.T) *auditstore.Store { return auditstore.New(jobstest.OpenMemory(t)) }},
		"S3": {2, func(t *testing.T) *auditstore.Store { // each request costs a server's time
			s, err := auditstore.Open(t.Context(), testservers.S3(t).BucketURL("seals"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := c.open(t)
			var group sync.WaitGroup
			for shard := range c.shards {
				group.Go(func() {
					from, to := verdict.ShardRange(shard)
					jobstest.Record(t, store, from, to, nil)
				})
			}
			group.Wait()
			_, last := verdict.ShardRange(c.shards - 1)
			seal := func(from, to uint64) {
				if _, err := sealer(store).Seal(t.Context(), from, to); err != nil {
					t.Error(err)
				}
			}
			for shard := range c.shards {
				group.Go(func() { seal(verdict.ShardRange(shard)) })
			}
			group.Go(func() { seal(1, verdict.MaxEpoch) })
			group.Wait()
			if s := readStatus(t, store, 0, 0); s.SealedCount != last || s.Head != last || !s.Good() {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// What only shows when shards are held against each other is told, once, by whoever seals the later
// of them.
func TestSealingTells(t *testing.T) {
	t.Parallel()
	notice := func(kind string, epoch uint64) string { return fmt.Sprintf("1-%s.%012d", kind, epoch) }
	for _, c := range []struct {
		name   string
		change func(v *verdict.Verdict) bool
		want   []string
		across bool // it is between shards
		// island: an epoch that is one as long as the earlier shards are not judged
		island []string
	}{
		{"nothing", nil, nil, false, nil},
		{"a rejection", func(v *verdict.Verdict) bool {
			if v.Epoch == 1234 {
				jobstest.Reject(v)
			}
			return true
		}, []string{notice("rejected", 1234)}, false, nil},
		{"a break within a shard", func(v *verdict.Verdict) bool {
			if v.Epoch == 1500 {
				v.PreviousDigest = jobstest.DigestOf("other", 1499)
			}
			return true
		}, []string{notice("contradiction", 1500) + ".chain"}, false, nil},
		{"a break between shards", func(v *verdict.Verdict) bool {
			if v.Epoch == 2000 {
				v.PreviousDigest = jobstest.DigestOf("other", 1999)
			}
			return true
		}, []string{notice("contradiction", 2000) + ".chain"}, true, nil},
		{"a rollback, to another shard", func(v *verdict.Verdict) bool {
			switch v.Epoch {
			case 2700:
				jobstest.Reject(v)
			case 2701:
				v.PreviousDigest = jobstest.DigestOf("", 300)
			}
			return true
		}, []string{notice("contradiction", 2701) + ".chain", notice("rejected", 2700)}, true, []string{notice("contradiction", 2701) + ".chain"}},
		{"a digest again, in the shard", func(v *verdict.Verdict) bool {
			switch v.Epoch {
			case 1700:
				jobstest.Reject(v)
			case 1701:
				v.PreviousDigest, v.Digest = jobstest.DigestOf("", 1299), jobstest.DigestOf("", 1300)
			case 1702:
				jobstest.Reject(v)
			}
			return true
		}, []string{notice("contradiction", 1701) + ".chain", notice("contradiction", 1701) + ".chain", notice("rejected", 1700), notice("rejected", 1702)}, false, nil},
		{"a digest again, in another shard", func(v *verdict.Verdict) bool {
			switch v.Epoch {
			case 2700, 2702:
				jobstest.Reject(v)
			case 2701:
				v.PreviousDigest, v.Digest = jobstest.DigestOf("", 299), jobstest.DigestOf("", 300)
			}
			return true
		}, []string{notice("contradiction", 2701) + ".chain", notice("contradiction", 2701) + ".chain", notice("rejected", 2700), notice("rejected", 2702)}, true, []string{notice("contradiction", 2701) + ".chain"}},
	} {
		orders := [][]uint64{{0, 1, 2}, {2, 0, 1}}
		if !c.across {
			orders = orders[:1] // the order of shards makes no difference
		}
		for _, order := range orders {
			t.Run(fmt.Sprint(c.name, order), func(t *testing.T) {
				t.Parallel()
				bucket := jobstest.OpenMemory(t)
				store := auditstore.New(bucket)
				for _, shard := range order {
					from, to := verdict.ShardRange(shard)
					jobstest.Record(t, store, from, to, c.change)
					if counts := sealAll(t, sealer(store)); counts.Sealed != 1 {
						t.Fatalf("sealed %+v, want one", counts)
					}
				}
				want := c.want
				if order[0] != 0 {
					want = slices.Sorted(slices.Values(slices.Concat(c.want, c.island)))
				}
				if got := jobstest.Incidents(t, store); !slices.Equal(got, want) {
					t.Errorf("told of %q, want %q", got, want)
				}
				chains := 0
				for _, name := range want {
					if strings.HasSuffix(name, ".chain") {
						chains++
					}
				}
				if pieces := keysUnder(t, bucket, jobstest.Namespace+"/evidence/"); len(pieces) != chains {
					t.Errorf("evidence is %q, want %d pieces", pieces, chains)
				}
			})
		}
	}
}

func keysUnder(t testing.TB, b *blob.Bucket, prefix string) (keys []string) {
	t.Helper()
	all := b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := all.Next(t.Context())
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
}
