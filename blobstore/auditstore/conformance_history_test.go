package auditstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
)

// chained is a verdict that continues the one of the epoch before.
func chained(epoch uint64) verdict.Verdict {
	v := verdictBy(epoch, "w")
	digest := func(epoch uint64) string { return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, epoch))) }
	v.PreviousDigest, v.Digest = digest(epoch-1), digest(epoch)
	return v
}

// sealOf seals a shard whose verdicts are all verified, but for those that change makes otherwise.
func sealOf(shard uint64, change func(*verdict.Verdict)) verdict.Seal {
	s := verdict.NewSeal(namespace, shard)
	for from, to := verdict.ShardRange(shard); from <= to; from++ {
		v := chained(from)
		if change != nil {
			change(&v)
		}
		s.Add(v, sha256.Sum256([]byte(v.Outcome+v.Digest)))
	}
	return s
}

// spanOf is the history of seals of adjacent shards.
func spanOf(t *testing.T, s *Store, seals ...verdict.Seal) verdict.SealedSpan {
	t.Helper()
	var all verdict.SealedSpan
	for i, seal := range seals {
		hash, err := s.PutSeal(t.Context(), seal)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			all.Span = seal.Span
		} else {
			all.Span = all.Join(seal.Span)
		}
		all.Seals = append(all.Seals, hash)
	}
	return all
}

func sealIsWrittenOnce(t *testing.T, open opener) {
	if _, _, err := open(t).Seal(t.Context(), namespace, 3); !errors.Is(err, ErrNotFound) {
		t.Errorf("before: %v", err)
	}
	seal := sealOf(3, nil)
	first, err := open(t).PutSeal(t.Context(), seal)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := open(t).PutSeal(t.Context(), sealOf(3, nil)); err != nil || again != first {
		t.Errorf("the same again: %q, %v", again, err)
	}
	other := sealOf(3, func(v *verdict.Verdict) {
		if v.Epoch == 3500 {
			v.Outcome, v.Reason = verdict.Rejected, "digest_mismatch"
		}
	})
	if _, err := open(t).PutSeal(t.Context(), other); !errors.Is(err, ErrDiffers) {
		t.Errorf("another one: %v, want ErrDiffers", err)
	}
	got, hash, err := open(t).Seal(t.Context(), namespace, 3)
	if err != nil || hash != first || !reflect.DeepEqual(got, seal) {
		t.Errorf("on record: %v, hash %q, want %q", err, hash, first)
	}
	if _, err := open(t).PutSeal(t.Context(), verdict.Seal{Schema: verdict.Schema, Namespace: namespace, Shard: 4, Span: seal.Span}); err == nil {
		t.Error("a seal of another shard's epochs is taken")
	}
	if _, err := open(t).PutSeal(t.Context(), sealOf(0, nil)); err != nil {
		t.Errorf("the shard without epoch 0: %v", err)
	}
}

func historyGoesOn(t *testing.T, open opener) {
	s := open(t)
	h, err := s.History(t.Context(), namespace)
	if err != nil || h.Generation != 0 || len(h.Spans) != 0 {
		t.Fatalf("before: %+v, %v", h, err)
	}
	stale := h
	for shard := range uint64(30) {
		h.Spans = append(h.Spans, spanOf(t, s, sealOf(2*shard, nil)))
		if h, err = s.PutHistory(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		got, err := open(t).History(t.Context(), namespace)
		if err != nil || !reflect.DeepEqual(got, h) || got.Generation != shard+1 {
			t.Fatalf("generation %d: %v, read generation %d, want %d", shard+1, err, got.Generation, h.Generation)
		}
	}
	stale.Generation = h.Generation - 1
	if _, err := s.PutHistory(t.Context(), stale); !errors.Is(err, ErrDiffers) {
		t.Errorf("a writer that is too late: %v, want ErrDiffers", err)
	}
	if n := len(listed(t, s, namespace+"/"+histories+"/")); n != keptGenerations+1 {
		t.Errorf("%d histories are kept, want this one and %d before", n, keptGenerations)
	}
	stale.Generation = h.Generation - keptGenerations - 5 // of which the next one was swept
	if _, err := s.PutHistory(t.Context(), stale); !errors.Is(err, ErrDiffers) {
		t.Errorf("a writer that is far too late: %v, want ErrDiffers", err)
	}
	if got, err := open(t).History(t.Context(), namespace); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("after it: %v, generation %d, want %d", err, got.Generation, h.Generation)
	}
}

func listed(t *testing.T, s *Store, prefix string) (names []string) {
	for name, err := range s.objects.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".json") {
			names = append(names, name)
		}
	}
	return names
}

func contendedHistoryLosesNothing(t *testing.T, open opener) {
	var group sync.WaitGroup
	for shard := range uint64(8) {
		s := open(t)
		span := spanOf(t, s, sealOf(2*shard, nil))
		group.Go(func() {
			for {
				h, err := s.History(t.Context(), namespace)
				if err != nil {
					t.Error(err)
					return
				}
				h.Spans = append(slices.Clone(h.Spans), span)
				slices.SortFunc(h.Spans, func(a, b verdict.SealedSpan) int { return int(a.From) - int(b.From) })
				if _, err = s.PutHistory(t.Context(), h); err == nil {
					return
				} else if !errors.Is(err, ErrDiffers) {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if h, err := open(t).History(t.Context(), namespace); err != nil || len(h.Spans) != 8 || h.Generation != 8 {
		t.Errorf("%d spans, generation %d, %v, want 8 of each", len(h.Spans), h.Generation, err)
	}
}

func corruptHistoryIsAnError(t *testing.T, open opener) {
	s := open(t)
	good, err := s.PutHistory(t.Context(), verdict.History{Namespace: namespace, Spans: []verdict.SealedSpan{spanOf(t, s, sealOf(1, nil))}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.objects.Put(t.Context(), generationKey(namespace, histories, 2), []byte(`{"schema":1,"namespace":"other"}`)); err != nil {
		t.Fatal(err)
	}
	h, err := open(t).History(t.Context(), namespace)
	if !errors.Is(err, ErrCorrupt) || h.Generation != 2 || len(h.Spans) != 0 || !strings.Contains(err.Error(), generationKey(namespace, histories, 2)) {
		t.Errorf("generation %d, %v, want ErrCorrupt with the key", h.Generation, err)
	}
	good.Generation = h.Generation
	if _, err := s.PutHistory(t.Context(), good); err != nil {
		t.Errorf("a good one after it: %v", err)
	}
	if h, err := open(t).History(t.Context(), namespace); err != nil || h.Generation != 3 {
		t.Errorf("after it: generation %d, %v", h.Generation, err)
	}
	if err := s.objects.Put(t.Context(), generationKey(namespace, histories, 4), []byte(`{"schema":2,"spans":7}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t).History(t.Context(), namespace); !errors.Is(err, verdict.ErrNewerSchema) {
		t.Errorf("a later schema: %v, want ErrNewerSchema", err)
	}
}
