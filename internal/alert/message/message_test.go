package message_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
)

func TestAMessageSaysWhatOnCallNeeds(t *testing.T) {
	t.Parallel()
	a, err := alert.OfSilent("example.log.v1", 7, time.Unix(1_800_000_000, 0)).Complete(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m := message.Of([]alert.Alert{a}, "https://runbook.example.org/ktaudit.html")
	if m.RunbookURL != "https://runbook.example.org/ktaudit.html#silent" {
		t.Errorf("runbook %q", m.RunbookURL)
	}
	for _, want := range []string{a.Summary, a.Incident, "2027-01-15T08:00:00Z", m.RunbookURL, m.Meaning, "ktaudit explain silent"} {
		if !strings.Contains(m.Text(), want) {
			t.Errorf("%q is not in the text:\n%s", want, m.Text())
		}
	}
}
