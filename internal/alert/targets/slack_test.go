package targets

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
)

func TestSlackMessage(t *testing.T) {
	t.Parallel()
	a := rejected
	a.Summary, a.Detail = "see <https://evil.example|here> & <!channel>", strings.Repeat("<&>", 2000)
	read := func(a alert.Alert) (text string) {
		var got struct {
			Text   string
			Blocks []slackBlock
		}
		body, err := slackBody(message.Of([]alert.Alert{a}, "https://wiki.example.org/kt"))
		must(t, err)
		must(t, json.Unmarshal(body, &got))
		for _, b := range got.Blocks {
			if b.Type != "section" || b.Text.Type != "mrkdwn" || len([]rune(b.Text.Text)) > 3000 || !b.Text.Verbatim {
				t.Errorf("%+v", b)
			}
		}
		return got.Text
	}
	text := read(a)
	for _, want := range []string{"*Critical: epoch rejected*\nsee &lt;https://evil.example|here&gt; &amp; &lt;!channel&gt;", namespace,
		"<https://wiki.example.org/kt#rejected|Runbook>"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Count(text, "<") != 1 || strings.Count(text, ">") != 1 {
		t.Errorf("unescaped: %s", text)
	}
	text = read(resolved(silent, began.Add(time.Hour)))
	for _, want := range []string{"*Resolved: ", "until 2026-11-22T09:00:00Z"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}
