package explain_test

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/verdict"
)

// Whoever gets an alert can ask what it means: every reason and every kind has a whole text, and no
// text is of a word that nobody ever sees.
func TestEveryWordIsExplained(t *testing.T) {
	t.Parallel()
	known := map[string]bool{string(verdict.BrokenChain): true, string(verdict.Rollback): true, string(verdict.Island): true}
	for _, r := range verdict.Reasons() {
		known[string(r)] = true
	}
	for _, k := range alert.Kinds() {
		known[string(k)] = true
	}
	for word := range known {
		text, ok := explain.Of(word)
		if !ok || text.Word != word {
			t.Errorf("%s is not explained in texts.go", word)
			continue
		}
		for name, s := range map[string]string{
			"title": text.Title, "means": text.Means, "how bad": text.HowBad, "benign": text.Benign, "actions": text.Actions, "ends": text.Ends,
		} {
			if !strings.HasSuffix(s, ".") || strings.Contains(s, "\n") || len(s) > 400 {
				t.Errorf("%s: %s is no short sentence or two: %q", word, name, s)
			}
		}
	}
	for _, k := range alert.Kinds() {
		if text, _ := explain.Of(string(k)); !strings.HasPrefix(strings.ToLower(text.HowBad), string(k.Severity())) {
			t.Errorf("%s is %s: %s", k, k.Severity(), text.HowBad)
		}
	}
	for _, word := range explain.Words() {
		if !known[word] {
			t.Errorf("%s is explained, and is no reason and no kind of alert", word)
		}
	}
}

func TestBestIsTheMostSpecificWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"digest_mismatch", "rejected"}, "digest_mismatch"},
		{[]string{"", "silent"}, "silent"},
		{[]string{"of a later version", "contradiction"}, "contradiction"},
		{[]string{"of a later version"}, ""},
	} {
		if got := explain.Best(c.words...); got != c.want {
			t.Errorf("%q: %q, want %q", c.words, got, c.want)
		}
	}
}
