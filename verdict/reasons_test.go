package verdict

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// A reason that is declared and not listed would be "other" in metrics and unknown to the
// simulator.
func TestReasonsAreComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("reasons.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []Reason
	for _, match := range regexp.MustCompile(`(?m)^\t\w+ +Reason = "(\w+)"`).FindAllSubmatch(text, -1) {
		declared = append(declared, Reason(match[1]))
	}
	if got := Reasons(); !slices.Equal(got, declared) {
		t.Errorf("Reasons returns %q, declared are %q", got, declared)
	}
}

// The README explains each reason in a table.
func TestReasonsAreExplained(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range Reasons() {
		if !regexp.MustCompile("(?m)^\\| `" + string(reason) + "` \\| .+ \\|$").Match(readme) {
			t.Errorf("README.md has no line on %s in its table of reasons", reason)
		}
	}
}
