package metrics_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/rs/zerolog"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

const goldenFile = "testdata/metrics.txt"

// sample is a line of the page that carries a value, which differs from run to run.
var sample = regexp.MustCompile(`(?m)^(ktaudit_\w+(?:\{.*\})?) \S+$`)

// Dashboards and alert rules rest on the names, types, labels and label values of all metrics.
func TestMetricsGolden(t *testing.T) {
	t.Parallel()
	got := series(page(t, everything(t)))
	want, err := os.ReadFile(goldenFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	if *update {
		if err := os.WriteFile(goldenFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	now, before := slices.Collect(strings.Lines(got)), slices.Collect(strings.Lines(string(want)))
	for _, line := range before {
		if !slices.Contains(now, line) {
			t.Errorf("gone: %s", line)
		}
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			t.Errorf("new: %s", line)
		}
	}
	t.Errorf("%s is not what is measured now (go test -update rewrites it)", goldenFile)
}

// everything returns metrics that have seen each value of each label, and one that no label has.
func everything(t *testing.T) *metrics.Metrics {
	const log = "example"
	m := metrics.New(metrics.Options{Namespaces: []string{log}, Auditors: map[string][]string{log: {"auditor-example-1a2b3c4d", "ours"}}, Witnesses: []string{"w-1a2b3c4d"}, Version: "v1", Commit: "abc", GoVersion: "go1", HashPath: "scalar"})
	judge := func(r observe.Result) {
		e := m.Begin(t.Context(), log, 1)
		for _, s := range []observe.Stage{
			observe.Locate, observe.Signature, observe.Memory, observe.Download, observe.Verify, observe.Write, "made_up",
		} {
			e.Stage(s, time.Now())
		}
		e.Read(1, 1)
		e.End(r)
	}
	s := m.Serving()
	s.Signed(log, 1, time.Now())
	s.Conflict("made_up")
	s.NotEnqueued(log)
	s.Request(http.MethodGet, "/info", http.StatusOK, time.Second)
	s.Request("BREW", "", 999, time.Second)
	for _, outcome := range []string{observe.Verified, observe.Duplicate, observe.Contradiction, "made_up"} {
		judge(observe.Result{Outcome: outcome})
	}
	for _, reason := range []string{
		"malformed_proof", "noncanonical_label", "overlapping_labels", "previous_digest_mismatch", "digest_mismatch",
		"batch_too_large", "signature_invalid", "signature_digest_mismatch", "equivocation", "digest_reused", "made_up",
	} {
		judge(observe.Result{Outcome: observe.Rejected, Reason: reason})
	}
	for _, failure := range []observe.Failure{
		observe.NotPublished, observe.Unsettled, observe.NotSigned, observe.UnknownKey, observe.HandedBack, observe.LogDirectory, observe.Signatures,
		observe.AuditStore, observe.Timeout, observe.Panic, observe.OtherFailure, "made_up",
	} {
		judge(observe.Result{Failure: failure})
	}

	m.SetChain(log, observe.ChainState{Chained: 7, Gaps: 1, Doubles: 1, Breaks: 1, WalkedAt: time.Unix(1, 0)})
	for _, kind := range []string{
		"rejected", "equivocation", "contradiction", "silent", "skipped", "implausible", "names_changed", "backlog", "transient", "sealed_mismatch", "test", "made_up",
	} {
		m.AlertRaised(log, kind)
	}
	for _, target := range []string{"log", "alertmanager", "webhook", "slack", "made_up"} {
		m.AlertSent(target, nil)
		m.AlertSent(target, errors.New("refused"))
	}
	m.HeartbeatSent(nil)
	m.HeartbeatSent(errors.New("refused"))
	m.SetAlertsPending(1, 1)
	m.CrossChecked(log, "ours", "made_up", 1)
	m.CrossChecked("made-up", "made-up", "same", 1)
	m.SetCrossChecked(log, "ours", 1)
	m.SetCrossChecked(log, "auditor-example-1a2b3c4d", 1)
	m.SetVerdictLog(log, "verdicts", observe.VerdictLogState{Entries: 2, Witnessed: 1, AppendedAt: time.Unix(1, 0)})
	m.SetVerdictLog("made-up", "made-up", observe.VerdictLogState{})
	m.WitnessAnswered(log, "w-1a2b3c4d", "cosigned")
	m.WitnessAnswered("made-up", "made-up", "made-up")
	m.ArchiveRemoved(log, 1)
	m.ArchiveRemoved("made-up", 1)
	m.SetThresholds(log, metrics.Thresholds{Silent: time.Hour, Backlog: time.Hour, Chain: time.Hour, StoreUnwritable: time.Hour})
	m.SetStoreUnwritable(log, time.Now())
	m.SetLog(log, observe.LogState{Head: 1, Newest: 3, NewestSince: time.Now(), Open: 2, OldestOpenSince: time.Now()})
	m.WatchLostLogLines(func() uint64 { return 3 })
	m.WatchMemory(2, func() int64 { return 1 })
	m.WatchStalled(func() map[string]observe.Stall { return map[string]observe.Stall{log: {Epochs: 1, For: time.Second}} })
	m.WatchQueues(func(context.Context) (metrics.Queues, error) {
		var q metrics.Queues
		for _, class := range []string{"fresh", "backfill", "made_up"} {
			q.Queues = append(q.Queues, metrics.Queue{Namespace: log, Class: class, Paused: true})
		}
		return q, nil
	})
	m.WatchIncidents(func(context.Context) (metrics.IncidentCounts, error) { return metrics.IncidentCounts{}, nil })
	m.WatchDependency("redis", func(context.Context) error { return nil })
	m.WatchDependency("audit_store", func(context.Context) error { return errors.New("down") })
	return m
}

// page returns what Prometheus gets.
func page(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	s, err := m.Serve(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	response, err := http.Get("http://" + s.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, err)
	}
	return string(body)
}

// series returns the page without helps, values and what is not ours.
func series(page string) string {
	var lines []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "# TYPE ktaudit_") {
			lines = append(lines, line)
		} else if match := sample.FindStringSubmatch(strings.TrimSuffix(line, "\n")); match != nil {
			lines = append(lines, match[1]+"\n")
		}
	}
	return strings.Join(lines, "")
}
