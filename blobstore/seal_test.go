package blobstore

import (
	"encoding/json"
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
	s := sealOf(1, func(v *Verdict) {
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
	if s.Digests[0] != "" || s.Digests[1] != chained(1001).Digest[:16] {
		t.Errorf("digests begin with %q", s.Digests[:2])
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}

func TestSpansJoin(t *testing.T) {
	t.Parallel()
	first, second := sealOf(0, nil).Span, sealOf(1, nil).Span
	whole := first.Join(second)
	if want := (Span{From: 1, To: 1999, PreviousDigest: chained(1).PreviousDigest, Digest: chained(1999).Digest}); !reflect.DeepEqual(whole, want) {
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

func FuzzSeal(f *testing.F) {
	seal, _ := json.Marshal(sealOf(0, nil))
	f.Add(seal)
	f.Add([]byte(`{"schema":1,"namespace":"n","shard":1,"from":1000,"to":1999,"rejected":[{"epoch":1000,"reason":"x"}],"verdicts":[],"digests":[""]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Seal
		err := decodeLine("key", data, &s, &s.Schema, func() error { return s.Validate() })
		if err != nil {
			return
		}
		again, err := encodeLine(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Seal
		if err := decodeLine("key", again, &back, &back.Schema, func() error { return back.Validate() }); err != nil {
			t.Fatalf("%s is read, and %s is not: %v", data, again, err)
		}
	})
}

func FuzzHistory(f *testing.F) {
	h := History{Schema: Schema, Namespace: namespace, Generation: 7}
	h.Spans = []SealedSpan{{Span: sealOf(0, nil).Span, Seals: []string{strings.Repeat("ab", 32)}}}
	data, _ := json.Marshal(h)
	f.Add(data)
	f.Add([]byte(`{"schema":1,"namespace":"n","generation":1,"spans":[{"from":18446744073709551615,"to":999,"seals":[]}]}`))
	f.Add([]byte(strings.NewReplacer(`"from":1,`, `"from":1000000000000000,`, `"to":999,`, `"to":1000000000000999,`).Replace(string(data))))
	f.Fuzz(func(t *testing.T, data []byte) {
		var h History
		if decodeLine("key", data, &h, &h.Schema, func() error { return h.Validate() }) != nil {
			return
		}
		for i, s := range h.Spans {
			if s.To < s.From || s.To > MaxEpoch || len(s.Seals) == 0 || i > 0 && s.From <= h.Spans[i-1].To+1 {
				t.Fatalf("span %d of %s is valid", i, data)
			}
			for _, r := range s.Rejected {
				if r.Epoch < s.From || r.Epoch > s.To {
					t.Fatalf("rejected epoch %d of %s is valid", r.Epoch, data)
				}
			}
		}
	})
}
