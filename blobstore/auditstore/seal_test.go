package auditstore

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
)

func FuzzSeal(f *testing.F) {
	seal, _ := json.Marshal(sealOf(0, nil))
	f.Add(seal)
	f.Add([]byte(`{"schema":1,"namespace":"n","shard":1,"from":1000,"to":1999,"rejected":[{"epoch":1000,"reason":"x"}],"verdicts":[],"digests":[""]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s verdict.Seal
		err := decodeLine("key", data, &s, &s.Schema, func() error { return s.Validate() })
		if err != nil {
			return
		}
		again, err := encodeLine(s)
		if err != nil {
			t.Fatal(err)
		}
		var back verdict.Seal
		if err := decodeLine("key", again, &back, &back.Schema, func() error { return back.Validate() }); err != nil {
			t.Fatalf("%s is read, and %s is not: %v", data, again, err)
		}
	})
}

func FuzzHistory(f *testing.F) {
	h := verdict.History{Schema: verdict.Schema, Namespace: namespace, Generation: 7}
	h.Spans = []verdict.SealedSpan{{Span: sealOf(0, nil).Span, Seals: []string{strings.Repeat("ab", 32)}}}
	data, _ := json.Marshal(h)
	f.Add(data)
	f.Add([]byte(`{"schema":1,"namespace":"n","generation":1,"spans":[{"from":18446744073709551615,"to":999,"seals":[]}]}`))
	f.Add([]byte(strings.NewReplacer(`"from":1,`, `"from":1000000000000000,`, `"to":999,`, `"to":1000000000000999,`).Replace(string(data))))
	f.Fuzz(func(t *testing.T, data []byte) {
		var h verdict.History
		if decodeLine("key", data, &h, &h.Schema, func() error { return h.Validate() }) != nil {
			return
		}
		for i, s := range h.Spans {
			if s.To < s.From || s.To > verdict.MaxEpoch || len(s.Seals) == 0 || i > 0 && s.From <= h.Spans[i-1].To+1 {
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
