package verdict

import "testing"

func TestBetween(t *testing.T) {
	t.Parallel()
	verified := func(start, end string) Verdict {
		return Verdict{Outcome: Verified, PreviousDigest: start, Digest: end}
	}
	rejected := Verdict{Outcome: Rejected, PreviousDigest: "b", Digest: "c"}
	for _, c := range []struct {
		name          string
		first, second Verdict
		want          Link
	}{
		{"continues", verified("a", "b"), verified("b", "c"), Linked},
		{"starts from another digest", verified("a", "b"), verified("x", "c"), Broken},
		{"none before", Verdict{}, verified("b", "c"), Unknown},
		{"none after", verified("a", "b"), Verdict{}, Unknown},
		{"a rejected epoch claims nothing", verified("a", "x"), rejected, Unknown},
		{"nor does one before", rejected, verified("x", "d"), Unknown},
	} {
		if got := Between(c.first, c.second); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
