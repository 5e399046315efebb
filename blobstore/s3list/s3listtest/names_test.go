package s3listtest

import (
	"slices"
	"testing"
)

func TestNamesAreInTheOrderOfTexts(t *testing.T) {
	t.Parallel()
	n := &Names{First: 7, Last: 1234, Missing: map[uint64]bool{99: true}, Extra: []string{"+5/x", "1000/y", "zebra"}}
	var want []string
	for epoch := n.First; epoch <= n.Last; epoch++ {
		if !n.Missing[epoch] {
			want = append(want, n.KeyOf(epoch))
		}
	}
	want = append(want, n.Extra...)
	slices.Sort(want)
	var got []string
	for after, more := "", true; more; after = got[len(got)-1] {
		var page []string
		page, more = n.keys("", after, 10)
		got = append(got, page...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	for _, prefix := range []string{"1", "12", "123", "99/", "+", "z", "9", "2"} {
		var matching []string
		for _, key := range want {
			if key[:min(len(key), len(prefix))] == prefix {
				matching = append(matching, key)
			}
		}
		if got, _ := n.keys(prefix, "", 2000); !slices.Equal(got, matching) {
			t.Errorf("prefix %s: %d keys, want %d", prefix, len(got), len(matching))
		}
	}
}
