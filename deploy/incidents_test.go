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
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/rs/zerolog"
)

// Whatever a webhook is told of, Prometheus fires for, too, whoever found it: an incident of each
// kind is raised, a webhook gets it, and what the metrics then show makes a rule fire.
func TestPrometheusFiresForWhatWebhooksAreToldOf(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := map[alert.Kind]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got struct{ Kind alert.Kind }
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		told[got.Kind] = true
	}))
	defer server.Close()
	hook, err := alert.NewWebhook("hook", server.URL, []byte("a secret of the webhook"))
	jobstest.Must(t, err)
	store := auditstore.New(jobstest.OpenMemory(t))
	r := incident.Recorder{Store: store, Log: zerolog.Nop()} // of a command: nothing counts what it raises
	for _, kind := range alert.Kinds() {
		if kind != alert.Test {
			jobstest.Must(t, r.Raise(t.Context(), alert.Alert{
				Kind: kind, Namespace: namespace, Incident: string(kind) + "/000000000012", Epoch: 12, Summary: "a summary",
			}))
		}
	}
	d, err := alert.NewDispatcher(alert.Options{Store: store, Namespaces: []string{namespace}, Targets: []alert.Target{hook}, Log: zerolog.Nop()})
	jobstest.Must(t, err)
	jobstest.Must(t, d.Flush(t.Context()))
	if len(told) != len(alert.Kinds())-1 {
		t.Errorf("the webhook was told of %v only", told)
	}

	m := metrics.New(metrics.Options{Namespaces: []string{namespace}})
	m.WatchIncidents(func(ctx context.Context) (metrics.IncidentCounts, error) {
		list, err := incident.ReadList(ctx, store, namespace)
		return metrics.IncidentCounts{namespace: list.Unacknowledged()}, err
	})
	var rules strings.Builder
	fmt.Fprintf(&rules, "rule_files: [%s]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n", rulesFile(t))
	for _, series := range regexp.MustCompile(`(?m)^(ktaudit_incidents_open\{.*\}) (\d+)$`).FindAllStringSubmatch(served(t, m), -1) {
		fmt.Fprintf(&rules, "      - {series: '%s', values: '%sx10'}\n", series[1], series[2])
	}
	// What fires is asked for by Prometheus's own series of alerts.
	rules.WriteString("    promql_expr_test:\n")
	for kind := range told {
		fmt.Fprintf(&rules, "      - expr: 'count(ALERTS{alertstate=\"firing\", kind=%q, severity=%q, namespace=%q})'\n        eval_time: 5m\n"+
			"        exp_samples: [{labels: '{}', value: 1}]\n", kind, kind.Severity(), namespace)
	}
	fmt.Fprintf(&rules, "      - expr: 'count(ALERTS{alertname=~\"KtauditIncidentOpen|KtauditWarningOpen\"})'\n        eval_time: 5m\n"+
		"        exp_samples: [{labels: '{}', value: %d}]\n", len(told))
	folder := t.TempDir()
	jobstest.Must(t, os.WriteFile(filepath.Join(folder, "kinds.yaml"), []byte(rules.String()), 0o600))
	promtool(t, folder, "", "test", "rules", "kinds.yaml")
}

func rulesFile(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("prometheus/ktaudit.rules.yaml")
	jobstest.Must(t, err)
	return file
}
