package verdict

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSealSumsUp(t *testing.T) {
	t.Parallel()
	reject := func(v *Verdict) {
		v.Outcome, v.Reason, v.Digest, v.PreviousDigest = Rejected, "malformed_proof", "", ""
	}
	s := honestSeal(1, func(v *Verdict) {
		switch v.Epoch {
		case 1000, 1500, 1501, 1999:
			reject(v)
		case 1400, 1502: // the latter comes after a rejected one, of which nothing follows
			v.PreviousDigest = strings.Repeat("0", 64)
		}
	})
	want := Span{From: 1000, To: 1999, Breaks: []uint64{1400}}
	for _, epoch := range []uint64{1000, 1500, 1501, 1999} {
		want.Rejected = append(want.Rejected, Rejection{epoch, "malformed_proof"})
	}
	if !reflect.DeepEqual(s.Span, want) {
		t.Errorf("span is %+v, want %+v", s.Span, want)
	}
	if s.Digests[0] != "" || s.Digests[1] != continuing(1001).Digest[:16] {
		t.Errorf("digests begin with %q", s.Digests[:2])
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}

func TestSpansJoin(t *testing.T) {
	t.Parallel()
	first, second := honestSeal(0, nil).Span, honestSeal(1, nil).Span
	whole := first.Join(second)
	if want := (Span{From: 1, To: 1999, PreviousDigest: continuing(1).PreviousDigest, Digest: continuing(1999).Digest}); !reflect.DeepEqual(whole, want) {
		t.Errorf("joined: %+v, want %+v", whole, want)
	}
	second.PreviousDigest = strings.Repeat("0", 64)
	if broken := first.Join(second); !slices.Equal(broken.Breaks, []uint64{1000}) {
		t.Errorf("breaks %v, want one at 1000", broken.Breaks)
	}
	second.PreviousDigest, second.Rejected = "", []Rejection{{1000, "digest_mismatch"}}
	if open := first.Join(second); len(open.Breaks) != 0 {
		t.Errorf("breaks %v before a rejected epoch", open.Breaks)
	}
}

// continuing is a verdict that continues the one of the epoch before.
func continuing(epoch uint64) Verdict {
	v := valid()
	digest := func(epoch uint64) string { return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, epoch))) }
	v.Epoch, v.PreviousDigest, v.Digest = epoch, digest(epoch-1), digest(epoch)
	return v
}

// honestSeal seals a shard whose verdicts are all verified, but for those that change makes
// otherwise.
func honestSeal(shard uint64, change func(*Verdict)) Seal {
	s := NewSeal("example.key-transparency.v1", shard)
	for from, to := ShardRange(shard); from <= to; from++ {
		v := continuing(from)
		if change != nil {
			change(&v)
		}
		s.Add(v, sha256.Sum256([]byte(v.Outcome+v.Digest)))
	}
	return s
}

func TestStarts(t *testing.T) {
	t.Parallel()
	rejected := func(epochs ...uint64) (all []Rejection) {
		for _, epoch := range epochs {
			all = append(all, Rejection{Epoch: epoch})
		}
		return all
	}
	for _, c := range []struct {
		name string
		span Span
		want []uint64
	}{
		{"all linked", Span{From: 3, To: 9}, []uint64{3}},
		{"begins and ends with rejected ones", Span{From: 3, To: 9, Rejected: rejected(3, 4, 9)}, []uint64{5}},
		{"all rejected", Span{From: 3, To: 4, Rejected: rejected(3, 4)}, nil},
		{"breaks and rejections", Span{From: 3, To: 9, Rejected: rejected(6), Breaks: []uint64{5, 8}}, []uint64{3, 5, 7, 8}},
	} {
		if got := c.span.Starts(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
