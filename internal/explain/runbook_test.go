package explain_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/explain"
)

var update = flag.Bool("update", false, "rewrite the sections of docs/runbook.md")

const runbook = "../../docs/runbook.md"

// section is what the runbook says of a word.
func section(t explain.Text) string {
	commands := strings.ReplaceAll(strings.Join(t.Commands, "\n"), "CONFIG", "ktaudit.yaml")
	return fmt.Sprintf("## %s\n\n**%s** %s\n\n- *How bad it is:* %s\n- *How it can come about innocently:* %s\n- *What to check and do:* %s\n"+
		"- *When it is over:* %s\n\n```sh\n%s\n```\n", t.Word, t.Title, t.Means, t.HowBad, t.Benign, t.Actions, t.Ends, commands)
}

// What people read when they follow an alert's link has the words of the alert: docs/runbook.md has
// a section for each word, with its text as it is here.
func TestRunbookHasEveryWord(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, word := range explain.Words() {
		explained, _ := explain.Of(word)
		want := section(explained)
		got := regexp.MustCompile(`(?ms)^## ` + word + `\n.*?(?:\n(?:#|\z)|\z)`).FindString(text)
		got = strings.TrimSuffix(got, "\n#")
		if strings.TrimSpace(got) == strings.TrimSpace(want) {
			continue
		}
		switch {
		case !*update:
			t.Errorf("the section %q of docs/runbook.md is not the text of package explain (go test ./internal/explain -update rewrites it): %q", word, got)
		case got == "":
			text += "\n" + want
		default:
			text = strings.Replace(text, got, want, 1)
		}
	}
	if *update {
		if err := os.WriteFile(runbook, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
