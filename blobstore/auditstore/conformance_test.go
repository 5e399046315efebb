package auditstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob/memblob"
)

const namespace = "example.key-transparency.v1"

// opener opens the same store again and again, as several processes would.
type opener func(t *testing.T) *Store

// TestStore is what every audit store must do, whatever holds it.
func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		conform(t, func(t *testing.T) opener {
			b := memblob.OpenBucket(nil)
			return func(*testing.T) *Store { return New(b) }
		})
	})
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		conform(t, func(t *testing.T) opener { return at(t.TempDir()) })
	})
	t.Run("local disk with prefix", func(t *testing.T) {
		t.Parallel()
		conform(t, func(t *testing.T) opener { return at("file://" + t.TempDir() + "?prefix=audits/2026/") })
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		s := testservers.S3(t)
		conform(t, func(t *testing.T) opener { return at(s.BucketURL(bucketName(t))) })
	})
	t.Run("Azure", func(t *testing.T) {
		t.Parallel()
		s := testservers.Azure(t)
		conform(t, func(t *testing.T) opener { return at(s.ContainerURL(bucketName(t)) + "&prefix=audits/2026/") })
	})
	t.Run("Google", func(t *testing.T) {
		t.Parallel()
		s := testservers.Google(t)
		conform(t, func(t *testing.T) opener { return at(s.BucketURL("google-"+bucketName(t)) + "?prefix=audits/2026/") })
	})
	t.Run("S3 with prefix", func(t *testing.T) {
		t.Parallel()
		s := testservers.S3(t)
		conform(t, func(t *testing.T) opener { return at(s.BucketURL(bucketName(t)) + "&prefix=audits/2026/") })
	})
}

func at(url string) opener {
	return func(t *testing.T) *Store {
		s, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

func bucketName(t *testing.T) string {
	name := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

func conform(t *testing.T, fresh func(*testing.T) opener) {
	for name, test := range map[string]func(*testing.T, opener){
		"verdict is read as written":       verdictIsReadAsWritten,
		"first verdict stays":              firstVerdictStays,
		"repeated verdict is created":      repeatedVerdictIsCreated,
		"contended verdict has one winner": contendedVerdictHasOneWinner,
		"invalid verdict is refused":       invalidVerdictIsRefused,
		"epochs are listed by shard":       epochsAreListedByShard,
		"other objects are not listed":     otherObjectsAreNotListed,
		"signature is written once":        signatureIsWrittenOnce,
		"evidence is written once":         evidenceIsWrittenOnce,
		"sizes are limited":                sizesAreLimited,
		"archive is written once":          archiveIsWrittenOnce,
		"large archive is written once":    largeArchiveIsWrittenOnce,
		"aborted archive leaves nothing":   abortedArchiveLeavesNothing,
		"cancelled archive leaves nothing": cancelledArchiveLeavesNothing,
		"contended archive is whole":       contendedArchiveIsWhole,
		"archives are listed by shard":     archivesAreListedByShard,
		"removed archive is gone":          removedArchiveIsGone,
		"only archives are removed":        onlyArchivesAreRemoved,
		"evidenced epochs are listed":      evidencedEpochsAreListed,
		"store tells the time":             storeTellsTheTime,
		"corrupt verdict is an error":      corruptVerdictIsAnError,
		"seal is written once":             sealIsWrittenOnce,
		"history goes on":                  historyGoesOn,
		"contended history loses nothing":  contendedHistoryLosesNothing,
		"corrupt history is an error":      corruptHistoryIsAnError,
		"digests are found":                digestsAreFound,
		"indexing goes on":                 indexingGoesOn,
		"keys cannot be steered":           keysCannotBeSteered,
		"cancellation is recognised":       cancellationIsRecognised,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

// verdict is a valid verdict; software tells writers apart.
func verdictBy(epoch uint64, software string) verdict.Verdict {
	keyID := uint8(3)
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: strings.Repeat("a1", 32), Digest: strings.Repeat("b2", 32),
		Inserted: 20, Unchanged: 40,
		Batch: verdict.Batch{Key: fmt.Sprintf("%d/<&>", epoch), Bytes: 5000, StoredBytes: 4000, Compression: "zstd",
			SHA256: strings.Repeat("c3", 32)},
		Signature: verdict.Signature{Status: "verified", KeyID: &keyID, Timestamp: 1_790_000_000_000},
		StartedAt: time.Unix(1_790_000_000, 123456789).UTC(), FinishedAt: time.Unix(1_790_000_001, 0).UTC(),
		VerifySeconds: 0.25, Software: software,
	}
}

func put(t *testing.T, s *Store, v verdict.Verdict) (verdict.Verdict, bool) {
	t.Helper()
	recorded, created, err := s.PutVerdict(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	return recorded, created
}

func verdictIsReadAsWritten(t *testing.T, open opener) {
	rejected := verdictBy(7, "r")
	rejected.Outcome, rejected.Reason, rejected.Detail = verdict.Rejected, "equivocation", "two batches: \"7/a\" and '7/<b>'"
	rejected.PreviousDigest, rejected.Digest, rejected.Batch, rejected.Signature = "", "", verdict.Batch{}, verdict.Signature{Status: "absent"}
	for _, v := range []verdict.Verdict{verdictBy(0, "w"), verdictBy(verdict.MaxEpoch, "w"), rejected} {
		if recorded, created := put(t, open(t), v); !created || !reflect.DeepEqual(recorded, v) {
			t.Errorf("recorded %+v (created %v), want %+v", recorded, created, v)
		}
		if got, err := open(t).Verdict(t.Context(), v.Namespace, v.Epoch); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("read %+v, %v, want %+v", got, err, v)
		}
	}
	if _, err := open(t).Verdict(t.Context(), namespace, 8); !errors.Is(err, ErrNotFound) {
		t.Errorf("an epoch without verdict: %v, want ErrNotFound", err)
	}
}

func firstVerdictStays(t *testing.T, open opener) {
	first, second := verdictBy(5, "first"), verdictBy(5, "second")
	put(t, open(t), first)
	if recorded, created := put(t, open(t), second); created || !reflect.DeepEqual(recorded, first) {
		t.Errorf("the second writer got %+v, created %v", recorded, created)
	}
	if got, err := open(t).Verdict(t.Context(), namespace, 5); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("on record: %+v, %v", got, err)
	}
}

func repeatedVerdictIsCreated(t *testing.T, open opener) {
	for range 3 {
		if _, created := put(t, open(t), verdictBy(5, "same")); !created {
			t.Error("a writer that finds its own verdict did not create it")
		}
	}
}

func contendedVerdictHasOneWinner(t *testing.T, open opener) {
	const rounds, writers = 20, 12
	stores := make([]*Store, writers)
	for i := range stores {
		stores[i] = open(t)
	}
	for epoch := range uint64(rounds) {
		var wg sync.WaitGroup
		recorded, created, errs := make([]verdict.Verdict, writers), make([]bool, writers), make([]error, writers)
		start := make(chan struct{})
		for i, s := range stores {
			wg.Go(func() {
				<-start
				recorded[i], created[i], errs[i] = s.PutVerdict(t.Context(), verdictBy(epoch, fmt.Sprint("writer ", i)))
			})
		}
		close(start)
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		winner := slices.Index(created, true)
		if winner < 0 || slices.Contains(created[winner+1:], true) {
			t.Fatalf("epoch %d: created %v, want one winner", epoch, created)
		}
		for i, r := range recorded {
			if !reflect.DeepEqual(r, verdictBy(epoch, fmt.Sprint("writer ", winner))) {
				t.Fatalf("epoch %d: writer %d sees %q, the winner is %d", epoch, i, r.Software, winner)
			}
		}
	}
}

func invalidVerdictIsRefused(t *testing.T, open opener) {
	s := open(t)
	v := verdictBy(5, "w")
	v.Outcome = "fine"
	if _, created, err := s.PutVerdict(t.Context(), v); err == nil || created {
		t.Error("an invalid verdict is recorded")
	}
	if _, err := s.Verdict(t.Context(), namespace, 5); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func epochsAreListedByShard(t *testing.T, open opener) {
	s := open(t)
	want := map[uint64][]uint64{0: {0, 1, 999}, 1: {1000, 1001}, 722: {722_606}, 999_999_999: {verdict.MaxEpoch}}
	for _, epochs := range want {
		for _, i := range rand.Perm(len(epochs)) {
			put(t, s, verdictBy(epochs[i], "w"))
		}
	}
	other := verdictBy(1002, "w")
	other.Namespace = namespace + "-2"
	put(t, s, other)
	for shard, epochs := range want {
		if got, err := s.Epochs(t.Context(), namespace, shard); err != nil || !slices.Equal(got, epochs) {
			t.Errorf("shard %d: %v, %v, want %v", shard, got, err, epochs)
		}
	}
	if got, err := s.Epochs(t.Context(), namespace, 2); err != nil || len(got) != 0 {
		t.Errorf("a shard without verdicts: %v, %v", got, err)
	}
	for asked, want := range map[[2]uint64][]uint64{
		{0, verdict.MaxEpoch}: {0, 1, 722, 999_999_999}, {1, verdict.MaxEpoch}: {1, 722, 999_999_999}, {2, verdict.MaxEpoch}: {722, 999_999_999},
		{722, 722}: {722}, {723, 999_999_999}: {999_999_999}, {0, 721}: {0, 1}, {2, 721}: nil,
	} {
		if got, err := s.Shards(t.Context(), namespace, asked[0], asked[1]); err != nil || !slices.Equal(got, want) {
			t.Errorf("shards %d: %v, %v, want %v", asked, got, err, want)
		}
	}
	if got, err := s.Shards(t.Context(), "other", 0, verdict.MaxEpoch); err != nil || len(got) != 0 {
		t.Errorf("shards of a namespace without verdicts: %v, %v", got, err)
	}
}

func otherObjectsAreNotListed(t *testing.T, open opener) {
	s := open(t)
	put(t, s, verdictBy(1, "w"))
	for _, key := range []string{"000000000/000000000002.json.bak", "000000000/2.json", "000000000/00000000000x.json",
		"000000000/000000001000.json", "000000000/000000000003/x.json", "README", "1/000000001000.json"} {
		if err := s.objects.Put(t.Context(), namespace+"/verdicts/"+key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Epochs(t.Context(), namespace, 0); err != nil || !slices.Equal(got, []uint64{1}) {
		t.Errorf("epochs: %v, %v", got, err)
	}
	if got, err := s.Shards(t.Context(), namespace, 0, verdict.MaxEpoch); err != nil || !slices.Equal(got, []uint64{0}) {
		t.Errorf("shards: %v, %v", got, err)
	}
}

func corruptVerdictIsAnError(t *testing.T, open opener) {
	s := open(t)
	whole, err := verdictBy(1, "w").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i, damaged := range []string{
		"", "{}", string(whole[:len(whole)/2]), string(whole) + string(whole), strings.Replace(string(whole), "verified", "fine", 1),
		string(whole), // of another epoch
		strings.Repeat(" ", verdict.MaxBytes) + string(whole),
	} {
		epoch := uint64(10 + i)
		key, _ := jsonKey(namespace, verdicts, epoch)
		if err := s.objects.Put(t.Context(), key, []byte(damaged)); err != nil {
			t.Fatal(err)
		}
		_, readErr := s.Verdict(t.Context(), namespace, epoch)
		_, created, putErr := s.PutVerdict(t.Context(), verdictBy(epoch, "w"))
		for _, err := range []error{readErr, putErr} {
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), key) || created {
				t.Errorf("%.40q: %v, want ErrCorrupt naming %s", damaged, err, key)
			}
		}
	}
}

func keysCannotBeSteered(t *testing.T, open opener) {
	s := open(t)
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "a/../b", "/a", "a..b", ".hidden", "a b", "a\x00", "a\n", "é", "a%2fb", "a\\b",
		strings.Repeat("a", 129)} {
		v := verdictBy(1, "w")
		v.Namespace = bad
		_, _, put := s.PutVerdict(t.Context(), v)
		_, get := s.Verdict(t.Context(), bad, 1)
		_, epochs := s.Epochs(t.Context(), bad, 0)
		_, shards := s.Shards(t.Context(), bad, 0, verdict.MaxEpoch)
		_, signature := s.Signature(t.Context(), bad, 1)
		_, writer := s.ArchiveWriter(t.Context(), bad, 1, "")
		_, archive := s.OpenArchive(t.Context(), bad, 1)
		_, read := s.Evidence(t.Context(), namespace, 1, bad)
		_, archiveShards := s.ArchiveShards(t.Context(), bad)
		_, archives := s.Archives(t.Context(), bad, 0)
		_, evidenced := s.EvidencedEpochs(t.Context(), bad, 0)
		_, now := s.Now(t.Context(), bad)
		for i, err := range []error{put, get, epochs, shards, signature, writer, archive, read, archiveShards, archives, evidenced, now,
			s.RemoveArchive(t.Context(), bad, 1, ""), s.RemoveArchive(t.Context(), namespace, 1, bad+"/"),
			s.PutSignature(t.Context(), bad, 1, nil), s.PutEvidence(t.Context(), bad, 1, "x", nil),
			s.PutEvidence(t.Context(), namespace, 1, bad, nil)} {
			if err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("%q is accepted (call %d: %v)", bad, i, err)
			}
		}
	}
	_, writer := s.ArchiveWriter(t.Context(), namespace, 1, "/../x")
	_, high := s.Verdict(t.Context(), namespace, verdict.MaxEpoch+1)
	if writer == nil || high == nil || errors.Is(high, ErrNotFound) {
		t.Errorf("steered by an extension: %v; by an epoch: %v", writer, high)
	}
}

func cancellationIsRecognised(t *testing.T, open opener) {
	s := open(t)
	put(t, s, verdictBy(1, "w"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.PutVerdict(ctx, verdictBy(2, "w")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Verdict(t.Context(), namespace, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("a cancelled put left %v", err)
	}
}
