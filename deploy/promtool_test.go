// Package deploy holds examples of how to run ktaudit, and the tests that keep them true.
package deploy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/rs/zerolog"
)

const namespace = "example.log.v1"

// promtool runs Prometheus's own checker in a folder. Where it is not installed the test fails on
// CI and is skipped elsewhere.
func promtool(t *testing.T, folder, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testservers.Program(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = folder, strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestRules(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"check rules":  {"check", "rules", "--lint-fatal", "ktaudit.rules.yaml"},
		"check config": {"check", "config", "prometheus.yaml"},
		"test rules":   {"test", "rules", "ktaudit.rules.test.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			promtool(t, "prometheus", "", args...)
		})
	}
}

// TestMetricsPage has Prometheus's linter read the page of a process that has seen everything.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	if out := promtool(t, "", page(t), "check", "metrics"); strings.TrimSpace(out) != "" {
		t.Errorf("promtool check metrics says\n%s", out)
	}
}

// TestDashboardQueries has promtool parse every query of the dashboard, dressed up as a rule.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, expr := range dashboardQueries(t) {
		rules.WriteString("  - record: dashboard:query:" + strings.Repeat("x", i+1) + "\n    expr: |\n      " +
			strings.ReplaceAll(expr, "\n", "\n      ") + "\n")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "dashboard.yaml"), []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, folder, "", "check", "rules", "dashboard.yaml")
}

// page returns what a process that has seen everything shows at /metrics.
func page(t *testing.T) string {
	t.Helper()
	m := metrics.New(metrics.Options{
		Namespaces: []string{namespace}, Version: "v1.0.0", Commit: "0123456", GoVersion: "go1.26", HashPath: "avx2",
	})
	m.Serving().Request(http.MethodPost, "/namespaces/{namespace}/audits", http.StatusServiceUnavailable, time.Second)
	for _, r := range []observe.Result{
		{Outcome: observe.Verified}, {Outcome: observe.Rejected, Reason: "digest_mismatch"},
		{Outcome: observe.Contradiction}, {Failure: observe.AuditStore},
	} {
		e := m.Begin(t.Context(), namespace, 1)
		for _, stage := range []observe.Stage{
			observe.Locate, observe.Signature, observe.Memory, observe.Download, observe.Verify, observe.Write,
		} {
			e.Stage(stage, time.Now())
		}
		e.Read(1, 1)
		e.End(r)
	}
	m.SetLog(namespace, observe.LogState{Head: 1, Newest: 2, NewestSince: time.Now(), Open: 1, OldestOpenSince: time.Now()})
	m.SetThresholds(namespace, metrics.Thresholds{Silent: time.Hour, Backlog: time.Hour, Chain: time.Hour, StoreUnwritable: time.Hour})
	m.SetStoreUnwritable(namespace, time.Now())
	m.SetChain(namespace, observe.ChainState{WalkedAt: time.Unix(1, 0), Chained: 1, Gaps: 1, Doubles: 1, Breaks: 1})
	m.SetAlertsPending(1, 1)
	m.AlertRaised(namespace, "rejected")
	m.AlertSent("slack", nil)
	m.AlertSent("slack", errors.New("down"))
	m.WatchLostLogLines(func() uint64 { return 1 })
	m.WatchMemory(1, func() int64 { return 1 })
	m.WatchStalled(func() map[string]observe.Stall { return map[string]observe.Stall{"example": {}} })
	m.WatchIncidents(func(context.Context) (metrics.IncidentCounts, error) { return metrics.IncidentCounts{}, nil })
	m.WatchDependency("redis", func(context.Context) error { return nil })
	m.WatchDependency("audit_store", func(context.Context) error { return nil })
	m.WatchQueues(func(context.Context) (metrics.Queues, error) {
		return metrics.Queues{
			Queues:  []metrics.Queue{{Namespace: namespace, Class: "fresh", Pending: 1}},
			Workers: map[string]int{namespace: 1},
		}, nil
	})
	return served(t, m)
}

// served returns what a process with these metrics shows at /metrics.
func served(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	server, err := m.Serve(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	response, err := http.Get("http://" + server.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v: %s", response.StatusCode, err, text)
	}
	return string(text)
}
