package metrics

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const namespace = "example.log.v1"

func TestEpochs(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		in   observe.Result
		want string // the series that is 1 afterwards
	}{
		{"verified", observe.Result{Outcome: observe.Verified}, `ktaudit_epochs_total{namespace="example.log.v1",outcome="verified",reason=""}`},
		{"rejected", observe.Result{Outcome: observe.Rejected, Reason: "digest_mismatch"},
			`ktaudit_epochs_total{namespace="example.log.v1",outcome="rejected",reason="digest_mismatch"}`},
		{"a reason made up", observe.Result{Outcome: observe.Rejected, Reason: "x_1"},
			`ktaudit_epochs_total{namespace="example.log.v1",outcome="rejected",reason="other"}`},
		{"duplicate", observe.Result{Outcome: observe.Duplicate}, `ktaudit_epochs_total{namespace="example.log.v1",outcome="duplicate",reason=""}`},
		{"contradiction", observe.Result{Outcome: observe.Contradiction, Reason: "digest_mismatch"},
			`ktaudit_epochs_total{namespace="example.log.v1",outcome="contradiction",reason=""}`},
		{"failure", observe.Result{Failure: observe.AuditStore}, `ktaudit_epoch_failures_total{kind="audit_store",namespace="example.log.v1"}`},
		{"no result at all", observe.Result{}, `ktaudit_epoch_failures_total{kind="other",namespace="example.log.v1"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := New(Options{Namespaces: []string{namespace}})
			e := m.Begin(t.Context(), namespace, 7)
			if got := testutil.ToFloat64(m.active.WithLabelValues(namespace)); got != 1 {
				t.Errorf("%v active epochs after Begin, want 1", got)
			}
			e.End(c.in)
			if got := testutil.ToFloat64(m.active.WithLabelValues(namespace)); got != 0 {
				t.Errorf("%v active epochs after End, want 0", got)
			}
			page := scrape(t, m)
			ones := 0
			for line := range strings.Lines(page) {
				if strings.HasPrefix(line, "ktaudit_epoch") && strings.HasSuffix(line, "} 1\n") && strings.Contains(line, "_total{") {
					ones++
				}
			}
			if !strings.Contains(page, c.want+" 1\n") || ones != 1 {
				t.Errorf("want %s 1 and no other, page is\n%s", c.want, page)
			}
		})
	}
}

func TestRejectionHasItsTime(t *testing.T) {
	t.Parallel()
	for _, r := range []observe.Result{{Outcome: observe.Rejected, Reason: "equivocation"}, {Outcome: observe.Contradiction}} {
		m := New(Options{Namespaces: []string{namespace}})
		before := float64(time.Now().Unix())
		m.Begin(t.Context(), namespace, 1).End(r)
		reason := r.Reason
		if r.Outcome == observe.Contradiction {
			reason = observe.Contradiction
		}
		if got := testutil.ToFloat64(m.lastRejected.WithLabelValues(namespace, reason)); got < before || got > before+60 {
			t.Errorf("%+v: last rejected at %v, want now, %v", r, got, before)
		}
	}
	m := New(Options{Namespaces: []string{namespace}})
	m.Begin(t.Context(), namespace, 1).End(observe.Result{Outcome: observe.Verified})
	if n := testutil.CollectAndCount(m.lastRejected); n != 0 {
		t.Errorf("a verified epoch made %d series of rejections", n)
	}
	m = New(Options{Namespaces: []string{namespace}})
	m.Begin(t.Context(), namespace, 1).End(observe.Result{Outcome: observe.Duplicate})
	if testutil.CollectAndCount(m.lastVerdict) != 0 || testutil.CollectAndCount(m.duration) != 0 {
		t.Error("an epoch that was judged before counts as a verdict of this process")
	}
}

// Alerts look for a change of these, and the first change is none if the series begins with it.
func TestSeriesExistFromTheStart(t *testing.T) {
	t.Parallel()
	page := scrape(t, New(Options{Namespaces: []string{namespace}}))
	for _, want := range []string{
		`ktaudit_epochs_total{namespace="example.log.v1",outcome="verified",reason=""} 0`,
		`ktaudit_epochs_total{namespace="example.log.v1",outcome="rejected",reason="equivocation"} 0`,
		`ktaudit_epoch_failures_total{kind="log_directory",namespace="example.log.v1"} 0`,
		`ktaudit_active_epochs{namespace="example.log.v1"} 0`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s is not on the page of a process that has just begun", want)
		}
	}
}

func TestStagesAndBytes(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace}})
	e := m.Begin(t.Context(), namespace, 1)
	now := time.Now()
	e.Overlapped(observe.Download, now.Add(-time.Minute), now, 30*time.Millisecond)
	e.Overlapped(observe.Verify, now.Add(-time.Minute), now, 4*time.Minute)
	e.Stage("tea", now)
	e.Read(100, 250)
	e.Read(100, 250)
	e.End(observe.Result{Outcome: observe.Verified})
	page := scrape(t, m)
	for _, want := range []string{
		`ktaudit_epoch_stage_seconds_bucket{namespace="example.log.v1",stage="download",le="0.025"} 0`,
		`ktaudit_epoch_stage_seconds_bucket{namespace="example.log.v1",stage="download",le="0.05"} 1`,
		`ktaudit_epoch_stage_seconds_bucket{namespace="example.log.v1",stage="verify",le="120.0"} 0`,
		`ktaudit_epoch_stage_seconds_bucket{namespace="example.log.v1",stage="verify",le="300.0"} 1`,
		`ktaudit_epoch_stage_seconds_count{namespace="example.log.v1",stage="other"} 1`,
		`ktaudit_epoch_seconds_count{namespace="example.log.v1"} 1`,
		`ktaudit_downloaded_bytes_total{namespace="example.log.v1"} 200`,
		`ktaudit_decompressed_bytes_total{namespace="example.log.v1"} 500`,
	} {
		if !strings.Contains(page, strings.ReplaceAll(want, `.0"}`, `"}`)+"\n") {
			t.Errorf("%s is not on the page\n%s", want, page)
		}
	}
}

// Whatever a log, a fault or a mistake may say, the page has as many series as before.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace}})
	count := func() int {
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "ktaudit_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	strange := func(i int) {
		s := strings.Repeat("x", i+1)
		m.Begin(t.Context(), s, 1).End(observe.Result{Outcome: s, Reason: s})
		m.Begin(t.Context(), s, 1).End(observe.Result{Outcome: observe.Rejected, Reason: s})
		e := m.Begin(t.Context(), s, 1)
		e.Stage(observe.Stage(s), time.Now())
		e.End(observe.Result{Failure: observe.Failure(s)})
		m.AlertRaised(s, s)
		m.ArchiveRemoved(s, 1)
		m.AlertSent(s, nil)
		m.AlertSent(s, errors.New(s))
		m.SetLog(s, observe.LogState{Head: 1, Newest: 2})
		m.SetThresholds(s, Thresholds{Silent: 1, Backlog: 1})
		m.SetStoreUnwritable(s, time.Now())
	}
	strange(0)
	once := count()
	for i := range 50 {
		strange(i)
	}
	if again := count(); again != once {
		t.Errorf("%d series after one round of unknown labels, %d after many", once, again)
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace, "b"}})
	m.SetLog(namespace, observe.LogState{
		Head: 40, Newest: 50, NewestSince: time.Unix(1800000000, 0), Open: 3, OldestOpenSince: time.Now().Add(-time.Hour),
	})
	m.SetLog("b", observe.LogState{Newest: 9, OldestOpenSince: time.Now().Add(-time.Hour)})
	page := scrape(t, m)
	for _, want := range []string{
		`ktaudit_head_epoch\{namespace="example.log.v1"\} 40`,
		`ktaudit_newest_published_epoch\{namespace="example.log.v1"\} 50`,
		`ktaudit_newest_published_timestamp_seconds\{namespace="example.log.v1"\} 1.8e\+09`,
		`ktaudit_lag_epochs\{namespace="example.log.v1"\} 3`,
		`ktaudit_lag_seconds\{namespace="example.log.v1"\} 36\d\d\.\d+`,
		`ktaudit_lag_seconds\{namespace="b"\} 0`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(page) {
			t.Errorf("%s is not on the page\n%s", want, page)
		}
	}
	if strings.Contains(page, `ktaudit_head_epoch{namespace="b"}`) {
		t.Error("a head is shown that is not known")
	}
}

// What nobody watches is not shown as if it could be written.
func TestStoreUnwritable(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace, "b", "unwatched"}})
	m.SetStoreUnwritable(namespace, time.Now().Add(-time.Hour))
	m.SetStoreUnwritable("b", time.Now())
	m.SetStoreUnwritable("b", time.Time{})
	page := scrape(t, m)
	for _, want := range []string{
		`ktaudit_audit_store_unwritable_seconds\{namespace="example.log.v1"\} 36\d\d\.\d+`,
		`ktaudit_audit_store_unwritable_seconds\{namespace="b"\} 0`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(page) {
			t.Errorf("%s is not on the page\n%s", want, page)
		}
	}
	if strings.Contains(page, `audit_store_unwritable_seconds{namespace="unwatched"}`) {
		t.Error("a store is shown as writable that nobody has written to")
	}
}

func TestAlertsThresholdsAndMemory(t *testing.T) {
	t.Parallel()
	m := New(Options{Namespaces: []string{namespace}, Version: "v1", Commit: "abc", GoVersion: "go1.26", HashPath: "avx2"})
	m.SetThresholds(namespace, Thresholds{Silent: time.Hour})
	m.HeartbeatSent(nil)
	m.SetAlertsPending(2, 1)
	m.AlertRaised(namespace, "silent")
	m.AlertSent("slack", nil)
	m.AlertSent("slack", errors.New("503"))
	m.ArchiveRemoved(namespace, 3)
	m.WatchMemory(1<<30, func() int64 { return 1 << 20 })
	page := scrape(t, m)
	for _, want := range []string{
		`ktaudit_threshold_seconds{namespace="example.log.v1",threshold="silent"} 3600`,
		`ktaudit_alerts_pending{severity="critical"} 2`,
		`ktaudit_alerts_pending{severity="warning"} 1`,
		`ktaudit_alerts_raised_total{kind="silent",namespace="example.log.v1"} 1`,
		`ktaudit_alerts_sent_total{target="slack"} 1`,
		`ktaudit_alerts_failed_total{target="slack"} 1`,
		`ktaudit_heartbeats_total{result="sent"} 1`,
		`ktaudit_archive_removed_total{namespace="example.log.v1"} 3`,
		`ktaudit_memory_budget_bytes 1.073741824e+09`,
		`ktaudit_memory_reserved_bytes 1.048576e+06`,
		`ktaudit_build_info{commit="abc",go_version="go1.26",version="v1"} 1`,
		`ktaudit_hash_path_info{path="avx2"} 1`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s is not on the page\n%s", want, page)
		}
	}
	if strings.Contains(page, `threshold="backlog"`) {
		t.Error("a threshold is shown that was not set")
	}
}

func TestNilMeasuresNothing(t *testing.T) { // alone, for it counts allocations
	var m *Metrics
	m.WatchMemory(1, nil)
	m.WatchQueues(nil)
	m.WatchDependency("redis", nil)
	m.SetThresholds(namespace, Thresholds{Silent: 1})
	m.SetStoreUnwritable(namespace, time.Now())
	m.SetLog(namespace, observe.LogState{})
	m.SetAlertsPending(1, 1)
	m.HeartbeatSent(nil)
	m.AlertRaised(namespace, "silent")
	m.AlertSent("slack", nil)
	m.ArchiveRemoved(namespace, 1)
	ctx, now := context.Background(), time.Now()
	allocations := testing.AllocsPerRun(100, func() {
		e := m.Begin(ctx, namespace, 1)
		e.Stage(observe.Locate, now)
		e.Overlapped(observe.Verify, now, now, 0)
		e.Read(1, 1)
		e.End(observe.Result{Outcome: observe.Verified})
	})
	if allocations != 0 {
		t.Errorf("an epoch that nobody measures costs %v allocations", allocations)
	}
}
