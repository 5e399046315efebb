package message_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/verdict"
)

const namespace = "example.log.v1"

var began = time.Unix(1_800_000_000, 0)

func complete(t *testing.T, a alert.Alert) alert.Alert {
	t.Helper()
	a, err := a.Complete(began)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func rejection(t *testing.T, epoch uint64, reason verdict.Reason) alert.Alert {
	t.Helper()
	return complete(t, alert.OfVerdict(verdict.Verdict{Namespace: namespace, Epoch: epoch, Reason: reason, Detail: "label 17 is a prefix of label 18"}))
}

func ended(a alert.Alert) alert.Alert {
	a.ResolvedAt = a.At.Add(time.Hour)
	return a
}

// This is what somebody who is woken reads.
func TestText(t *testing.T) {
	t.Parallel()
	m := message.Of([]alert.Alert{rejection(t, 17, verdict.OverlappingLabels)}, "https://wiki.example.org/ktaudit")
	const want = `epoch 17 of example.log.v1 was rejected: overlapping_labels

Log:       example.log.v1
Severity:  critical
Since:     2027-01-15T08:00:00Z
Incident:  rejected/000000000017
Evidence:  example.log.v1/evidence/000000000/000000000017/
Runbook:   https://wiki.example.org/ktaudit#rejected

Detail:
label 17 is a prefix of label 18

What it means:
Such a proof can replace a key that is in the tree and pass that off as an addition. Older verifiers accept it. It proves nothing about the tree.

How bad it is:
Critical. This is what an attempt to replace somebody's key looks like. Older verifiers accept it.

What to do:
Treat it as an attack until the operator of the log has explained it. The batch is in the archive.

Commands:
ktaudit incidents show rejected/000000000017 --config ktaudit.yaml --namespace example.log.v1
ktaudit show 17 --config ktaudit.yaml --namespace example.log.v1
ktaudit evidence 17 --output evidence-17.tar.zst --config ktaudit.yaml --namespace example.log.v1
ktaudit incidents ack rejected/000000000017 --config ktaudit.yaml --namespace example.log.v1 --reason "TEXT" --by NAME
`
	if got := m.Text(); m.Title != "Critical: epoch rejected" || got != want {
		t.Errorf("%s\n%s", m.Title, got)
	}
}

// Everything that an alert can be of has a meaning, a severity in words and something to run; only
// what names no epoch has nothing about one.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range alert.Kinds() {
		for _, epoch := range []uint64{0, 12} {
			t.Run(fmt.Sprintf("%s/%d", kind, epoch), func(t *testing.T) {
				t.Parallel()
				a := complete(t, alert.Alert{Kind: kind, Namespace: namespace, Incident: string(kind) + "/name", Epoch: epoch, Summary: "what happened"})
				m := message.Of([]alert.Alert{a}, "")
				if m.Meaning == "" || m.Actions == "" || !strings.HasPrefix(strings.ToLower(m.HowBad), string(m.Severity)) || m.RunbookURL != "" {
					t.Errorf("%+v", m)
				}
				if len(m.Commands) == 0 {
					t.Error("nothing to run")
				}
				for _, c := range m.Commands {
					for _, placeholder := range []string{"ID", "EPOCH", "NAMESPACE", "CONFIG", " 0 "} {
						if strings.Contains(c, placeholder) {
							t.Errorf("%q has %q", c, placeholder)
						}
					}
				}
			})
		}
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	flood := func(from, to, step uint64) (alerts []alert.Alert) {
		for epoch := from; epoch <= to; epoch += step {
			alerts = append(alerts, rejection(t, epoch, verdict.OverlappingLabels))
		}
		return alerts
	}
	skipped := []alert.Alert{complete(t, alert.OfSkipped(namespace, 7, 9)), complete(t, alert.OfSkipped(namespace, 5, 9))}
	silent := func(kind string) alert.Alert {
		return complete(t, alert.Alert{Kind: alert.AuditorSilent, Namespace: namespace, Incident: "auditor_silent/" + kind, Summary: "silent"})
	}
	for name, c := range map[string]struct {
		alerts                   []alert.Alert
		title, summary, evidence string
	}{
		"a flood":   {flood(100, 5099, 1), "Critical: epoch rejected (5000)", "epochs 100–5099 of example.log.v1 rejected: overlapping_labels (5000)", namespace + "/evidence/"},
		"scattered": {flood(1, 99, 2), "Critical: epoch rejected (50)", "epochs between 1 and 99 of example.log.v1 rejected: overlapping_labels (50)", namespace + "/evidence/"},
		"two runs":  {append(flood(1, 3, 1), flood(9, 9, 1)...), "Critical: epoch rejected (4)", "epochs 1–3, 9 of example.log.v1 rejected: overlapping_labels (4)", namespace + "/evidence/"},
		"too large": {[]alert.Alert{rejection(t, 1, verdict.BatchTooLarge), rejection(t, 2, verdict.BatchTooLarge)}, "Critical: epoch rejected (2)", "epochs 1–2 of example.log.v1 not judged: batch_too_large (2)", namespace + "/evidence/"},
		"one epoch": {
			[]alert.Alert{complete(t, alert.OfBreak(namespace, 7, "aa", "bb")), complete(t, alert.OfBreak(namespace, 7, "aa", "cc"))},
			"Critical: statements contradict each other (2)", "epoch 7 of example.log.v1: statements contradict each other: broken_chain (2)", namespace + "/evidence/000000000/000000000007/",
		},
		"conditions":   {skipped, "Critical: epoch missing (2)", "epochs 5, 7 of example.log.v1: epoch missing (2)", ""},
		"ends":         {[]alert.Alert{ended(skipped[0]), ended(skipped[1])}, "Resolved: epoch missing (2)", "epochs 5, 7 of example.log.v1: epoch missing, over (2)", ""},
		"of no epoch":  {[]alert.Alert{silent("a"), silent("b")}, "Warning: auditor gives no answer (2)", "example.log.v1: auditor gives no answer (2)", ""},
		"without kind": {[]alert.Alert{silent("a")}, "Warning: auditor gives no answer", "silent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message.Of(c.alerts, "")
			if m.Title != c.title || m.Summary != c.summary || m.Evidence != c.evidence {
				t.Errorf("%q\n%q\n%q", m.Title, m.Summary, m.Evidence)
			}
			if len(c.alerts) > 1 && m.Status == message.Firing && !strings.HasPrefix(m.Commands[0], "ktaudit incidents --config") {
				t.Errorf("the first command is %q", m.Commands[0])
			}
			if resolved := m.Status == message.Resolved; resolved != !m.Until.IsZero() || resolved != (len(m.Commands) == 0) {
				t.Errorf("%s until %s, %q", m.Status, m.Until, m.Commands)
			}
			if len(m.Text()) > 8<<10 {
				t.Errorf("the text has %d bytes", len(m.Text()))
			}
		})
	}
}

// What comes twice has the ID that it had; what is another alert, or its end, has another.
func TestID(t *testing.T) {
	t.Parallel()
	one, two := complete(t, alert.OfSkipped(namespace, 7, 9)), complete(t, alert.OfSkipped(namespace, 8, 9))
	elsewhere := one
	elsewhere.Namespace = "another"
	seen := map[string]int{}
	for i, alerts := range [][]alert.Alert{{one}, {two}, {one, two}, {ended(one)}, {elsewhere}} {
		id := message.Of(alerts, "").ID
		if id != message.Of(alerts, "https://example.org").ID {
			t.Errorf("%d: the ID differs", i)
		}
		if j, twice := seen[id]; twice {
			t.Errorf("%d and %d have the ID %s", i, j, id)
		}
		seen[id] = i
	}
}

// A log chooses what is in a detail, and somebody with an editor all of a notice: no message is
// longer for it, or does anything to a terminal.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	evil := strings.Repeat("\x1b[2J\u202e\r", 10_000)
	a := alert.Alert{Kind: "of a later version", Namespace: "../" + strings.Repeat("n", 200), Incident: "x", Severity: alert.Critical, Summary: evil, Detail: evil, At: began}
	m := message.Of([]alert.Alert{a, a}, "")
	if text := m.Text(); len(text) > 8<<10 || strings.ContainsAny(text, "\x1b\u202e\r") {
		t.Errorf("%d bytes: %.300q", len(text), text)
	}
}
