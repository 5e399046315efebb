package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/internal/storewatch"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/rs/zerolog"
)

// Whatever a webhook is told of, Prometheus fires for, too, whoever found it: an incident of each
// kind is raised, or its cause is made, a webhook gets it, and what the metrics then show makes a
// rule fire.
func TestPrometheusFiresForWhatWebhooksAreToldOf(t *testing.T) {
	t.Parallel()
	hook := newWebhook(t)
	onRecord := slices.DeleteFunc(alert.Kinds(), func(k alert.Kind) bool { return k == alert.Test || k == alert.StoreUnwritable })
	open := pageOfOpenIncidents(t, hook, onRecord)
	away, back := pagesOfUnwritableStore(t, hook)
	told := slices.DeleteFunc(alert.Kinds(), func(k alert.Kind) bool { return k == alert.Test })
	for _, kind := range told {
		if !hook.has("firing", kind) {
			t.Errorf("the webhook was not told of %s", kind)
		}
	}

	var rules strings.Builder
	fmt.Fprintf(&rules, "rule_files: [%s]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n", rulesFile(t))
	for name, value := range samples(open, "ktaudit_incidents_open") {
		fmt.Fprintf(&rules, "      - {series: '%s', values: '%sx20'}\n", name, value)
	}
	// Ten minutes as the store was found while it was away, and ten as it was found afterwards.
	later := samples(back, "ktaudit_audit_store_unwritable_seconds")
	for name, value := range samples(away, "ktaudit_audit_store_unwritable_seconds") {
		fmt.Fprintf(&rules, "      - {series: '%s', values: '%sx10 %sx10'}\n", name, value, later[name])
	}
	for name, value := range samples(away, "ktaudit_threshold_seconds") {
		fmt.Fprintf(&rules, "      - {series: '%s', values: '%sx20'}\n", name, value)
	}
	// What fires is asked for by Prometheus's own series of alerts.
	rules.WriteString("    promql_expr_test:\n")
	for _, kind := range told {
		fmt.Fprintf(&rules, "      - expr: 'count(ALERTS{alertstate=\"firing\", kind=%q, severity=%q, namespace=%q})'\n        eval_time: 5m\n"+
			"        exp_samples: [{labels: '{}', value: 1}]\n", kind, kind.Severity(), namespace)
	}
	for at, n := range map[string]int{"5m": len(told), "15m": len(onRecord)} {
		fmt.Fprintf(&rules, "      - expr: 'count(ALERTS{alertname=~\"KtauditIncidentOpen|KtauditWarningOpen|KtauditStoreUnwritable\"})'\n"+
			"        eval_time: %s\n        exp_samples: [{labels: '{}', value: %d}]\n", at, n)
	}
	folder := t.TempDir()
	jobstest.Must(t, os.WriteFile(filepath.Join(folder, "kinds.yaml"), []byte(rules.String()), 0o600))
	promtool(t, folder, "", "test", "rules", "kinds.yaml")
}

// pageOfOpenIncidents has an incident of each kind raised and the webhook told of it, and returns
// the metrics page after that.
func pageOfOpenIncidents(t *testing.T, hook *webhook, kinds []alert.Kind) string {
	t.Helper()
	store := auditstore.New(jobstest.OpenMemory(t))
	r := incident.Recorder{Store: store, Log: zerolog.Nop()} // of a command: nothing counts what it raises
	for _, kind := range kinds {
		jobstest.Must(t, r.Raise(t.Context(), alert.Alert{
			Kind: kind, Namespace: namespace, Incident: string(kind) + "/000000000012", Epoch: 12, Summary: "a summary",
		}))
	}
	d, err := alert.NewDispatcher(alert.Options{
		Store: store, Namespaces: []string{namespace}, Targets: []alert.Target{hook.Target}, Log: zerolog.Nop(),
	})
	jobstest.Must(t, err)
	jobstest.Must(t, d.Flush(t.Context()))
	m := metrics.New(metrics.Options{Namespaces: []string{namespace}})
	m.WatchIncidents(func(ctx context.Context) (metrics.IncidentCounts, error) {
		list, err := incident.ReadList(ctx, store, namespace)
		return metrics.IncidentCounts{namespace: list.Unacknowledged()}, err
	})
	return served(t, m)
}

// pagesOfUnwritableStore takes an audit store away and gives it back, and returns the metrics page
// after the webhook was told of each.
func pagesOfUnwritableStore(t *testing.T, hook *webhook) (away, back string) {
	t.Helper()
	const after = 100 * time.Millisecond
	dir := filepath.Join(t.TempDir(), "audit")
	jobstest.Must(t, os.Mkdir(dir, 0o755))
	store, err := auditstore.Open(t.Context(), dir)
	jobstest.Must(t, err)
	defer store.Close()
	m := metrics.New(metrics.Options{Namespaces: []string{namespace}})
	m.SetThresholds(namespace, metrics.Thresholds{StoreUnwritable: after})
	defer jobstest.Background(t, func(ctx context.Context) error {
		storewatch.Watch{
			Store: store, Namespaces: []string{namespace}, Targets: []alert.Target{hook.Target}, After: after, Log: zerolog.Nop(),
			OnTrial: func(since time.Time) { m.SetStoreUnwritable(namespace, since) },
		}.Run(ctx)
		return nil
	})()
	jobstest.Must(t, os.Remove(dir))
	jobstest.Eventually(t, "the webhook is told", func() bool { return hook.has("firing", alert.StoreUnwritable) })
	away = served(t, m)
	jobstest.Must(t, os.Mkdir(dir, 0o755))
	jobstest.Eventually(t, "and that it is over", func() bool { return hook.has("resolved", alert.StoreUnwritable) })
	return away, served(t, m)
}

// webhook takes alerts.
type webhook struct {
	alert.Target
	mu  sync.Mutex
	got map[string]bool // "status kind"
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	h := &webhook{got: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got struct{ Kind, Status string }
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got[got.Status+" "+got.Kind] = true
	}))
	t.Cleanup(server.Close)
	target, err := targets.New("webhook", targets.Settings{Name: "hook", URL: server.URL, Secret: []byte("a secret of the webhook")})
	jobstest.Must(t, err)
	h.Target = target[0]
	return h
}

func (h *webhook) has(status string, kind alert.Kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[status+" "+string(kind)]
}

// samples returns the values of a metric's series on a page, by series.
func samples(page, metric string) map[string]string {
	all := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^(`+metric+`\{.*\}) (\S+)$`).FindAllStringSubmatch(page, -1) {
		all[match[1]] = match[2]
	}
	return all
}

func rulesFile(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("prometheus/ktaudit.rules.yaml")
	jobstest.Must(t, err)
	return file
}
