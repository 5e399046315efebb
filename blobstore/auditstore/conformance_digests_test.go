package auditstore

import (
	"slices"
	"strings"
	"testing"
)

// digestsAreFound: an entry is there once, and found by its digest alone, those of other digests
// with the same beginning and of later epochs left out.
func digestsAreFound(t *testing.T, open opener) {
	s := open(t)
	one, alike, other := strings.Repeat("ab", 32), strings.Repeat("ab", 31)+"ac", strings.Repeat("cd", 32)
	for _, e := range []struct {
		digest string
		epoch  uint64
	}{{one, 1999}, {alike, 5}, {one, 7}, {one, 7}, {other, 8}, {one, 123456789012}} {
		if err := s.PutDigest(t.Context(), namespace, e.digest, e.epoch); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		digest string
		before uint64
		want   []uint64
	}{
		{one, 2000, []uint64{7, 1999}},
		{one, 1999, []uint64{7}},
		{one, 7, nil},
		{one, 999_999_999_999, []uint64{7, 1999, 123456789012}},
		{alike, 2000, []uint64{5}},
		{other, 2000, []uint64{8}},
		{strings.Repeat("ef", 32), 2000, nil},
	} {
		got, err := open(t).EpochsOfDigest(t.Context(), namespace, c.digest, c.before)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%.8s… before %d: %d, %v, want %d", c.digest, c.before, got, err, c.want)
		}
	}
	if got, err := s.EpochsOfDigest(t.Context(), "another", one, 2000); err != nil || len(got) != 0 {
		t.Errorf("of another log: %d, %v", got, err)
	}
	for _, digest := range []string{"", "ab", strings.ToUpper(one), "../" + one[3:]} {
		if err := s.PutDigest(t.Context(), namespace, digest, 1); err == nil {
			t.Errorf("%q is taken for a digest", digest)
		}
		if _, err := s.EpochsOfDigest(t.Context(), namespace, digest, 1); err == nil {
			t.Errorf("%q is looked up", digest)
		}
	}
}

// indexingGoesOn: of the notes on how far the index is whole, the furthest counts, whoever wrote it
// when.
func indexingGoesOn(t *testing.T, open opener) {
	s := open(t)
	if n, err := s.IndexedShards(t.Context(), namespace); err != nil || n != 0 {
		t.Errorf("before: %d, %v", n, err)
	}
	for _, shards := range []uint64{3, 1, AllShards, 2} {
		if first, err := s.PutIndexed(t.Context(), namespace, shards); err != nil || !first {
			t.Errorf("%d shards: %v, %v, want the first", shards, first, err)
		}
		if first, err := open(t).PutIndexed(t.Context(), namespace, shards); err != nil || first {
			t.Errorf("%d shards again: %v, %v, want not the first", shards, first, err)
		}
	}
	if n, err := open(t).IndexedShards(t.Context(), namespace); err != nil || n != AllShards {
		t.Errorf("after: %d, %v", n, err)
	}
	for _, shards := range []uint64{0, AllShards + 1} {
		if _, err := s.PutIndexed(t.Context(), namespace, shards); err == nil {
			t.Errorf("%d shards are noted", shards)
		}
	}
}
