package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const tampered = 30 // the epoch that the file has rewritten

// TestDemo runs every command line of the demonstration but Grafana's, and sees that it shows what it
// is to show: epochs are verified, a tampered one leads to alerts, Prometheus scrapes all and likes
// its rules, the public page is served, and no query of the dashboard finds nothing.
func TestDemo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs servers: left out with -short")
	}
	project := composeProject(t, "compose.demo.yaml")
	publish := project.Services["log"].Command
	publish[slices.Index(publish, "--publish-every")+1] = "200ms" // to be quick
	s := startStack(t, project, []string{"grafana"}, "scrape_interval: 5s, evaluation_interval: 5s", "scrape_interval: 1s, evaluation_interval: 1s")
	for _, name := range s.project.ServiceNames() {
		if check := s.project.Services[name].HealthCheck; check != nil && !check.Disable {
			s.healthy(t, name)
		}
	}
	await(t, "epochs are verified, and one is rejected", func() error { return s.audited(t) })
	await(t, "Prometheus scrapes every process", s.scraped)
	await(t, "rules are evaluated", s.rulesHold)
	await(t, "Alertmanager has the alerts of ktaudit and of Prometheus", s.alerted)
	for _, expr := range dashboardQueries(t) {
		if strings.Contains(expr, "ktaudit_alerts_failed_total") || strings.Contains(expr, "ktaudit_audit_store_unwritable_seconds") {
			continue // nothing fails here
		}
		await(t, "the dashboard shows "+expr, func() error { return s.shown(expr) })
	}
	t.Run("page", func(t *testing.T) {
		var page bytes.Buffer
		if err := get(s.url("serve")+"/", &page); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page.String(), "simulated.key-transparency.v1") {
			t.Errorf("the public page does not name the log:\n%s", page.String())
		}
	})
}

func (s *stack) audited(t *testing.T) error {
	type rejected struct{ Epoch int }
	var status struct {
		Verified int `json:"verified_count"`
		Rejected []rejected
	}
	var says bytes.Buffer
	cmd := s.of("worker")[0].command(t.Context(), ktauditProgram(t), "status", "--json")
	cmd.Stderr = &says
	out, err := cmd.Output() // its exit status says that an epoch was rejected
	if json.Unmarshal(out, &status) != nil {
		return fmt.Errorf("%w: %s%s", err, out, says.Bytes())
	}
	if status.Verified < 40 || !slices.ContainsFunc(status.Rejected, func(r rejected) bool { return r.Epoch == tampered }) {
		return fmt.Errorf("%s", out)
	}
	return nil
}

func (s *stack) scraped() error {
	var targets struct {
		ActiveTargets []struct{ Health, LastError string }
	}
	if err := s.prometheus("targets", nil, &targets); err != nil {
		return err
	}
	up := 0
	for _, target := range targets.ActiveTargets {
		if target.Health == "up" {
			up++
		}
	}
	if want := len(s.of("worker")) + len(s.of("scheduler")) + len(s.of("serve")); up != want {
		return fmt.Errorf("%d of %d targets are up: %+v", up, want, targets)
	}
	return nil
}

func (s *stack) rulesHold() error {
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := s.prometheus("rules", nil, &rules); err != nil {
		return err
	}
	count := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			count++
			if rule.Health != "ok" {
				return fmt.Errorf("%+v", rule)
			}
		}
	}
	if count == 0 {
		return fmt.Errorf("there are no rules")
	}
	return nil
}

// alerted: both ktaudit itself and Prometheus tell Alertmanager.
func (s *stack) alerted() error {
	var text bytes.Buffer
	if err := get(s.url("alertmanager")+"/api/v2/alerts", &text); err != nil {
		return err
	}
	type alert struct{ Labels map[string]string }
	var alerts []alert
	if err := json.Unmarshal(text.Bytes(), &alerts); err != nil {
		return err
	}
	own := func(a alert) bool { return a.Labels["incident"] != "" && a.Labels["epoch"] == fmt.Sprint(tampered) }
	ruled := func(a alert) bool {
		return a.Labels["incident"] == "" && a.Labels["alertname"] == "KtauditEpochRejected"
	}
	if !slices.ContainsFunc(alerts, own) || !slices.ContainsFunc(alerts, ruled) {
		return fmt.Errorf("%s", text.Bytes())
	}
	return nil
}

func (s *stack) shown(expr string) error {
	var found struct{ Result []any }
	if err := s.prometheus("query", url.Values{"query": {expr}}, &found); err != nil {
		return err
	}
	if len(found.Result) == 0 {
		return fmt.Errorf("nothing")
	}
	return nil
}

// prometheus asks Prometheus's API.
func (s *stack) prometheus(what string, query url.Values, data any) error {
	var text bytes.Buffer
	if err := get(s.url("prometheus")+"/api/v1/"+what+"?"+query.Encode(), &text); err != nil {
		return err
	}
	return json.Unmarshal(text.Bytes(), &struct{ Data any }{data})
}

// TestGrafanaOfDemo: Grafana finds the dashboard where it is told to look, and Prometheus.
func TestGrafanaOfDemo(t *testing.T) {
	t.Parallel()
	services := composeProject(t, "compose.demo.yaml").Services
	mounted := map[string]bool{}
	for _, volume := range services["grafana"].Volumes {
		mounted[volume.Target] = true
	}
	home := *services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	providers := at(t, documents(t, "grafana/provisioning/dashboards/ktaudit.yaml")[0], "providers").([]any)
	folder := at(t, providers[0].(map[string]any), "options", "path")
	if !mounted[home] || !mounted["/etc/grafana/provisioning"] || filepath.Dir(home) != folder {
		t.Errorf("the dashboard is %s, dashboards are looked for in %s, and mounted is %v", home, folder, mounted)
	}
	sources := at(t, documents(t, "grafana/provisioning/datasources/prometheus.yaml")[0], "datasources").([]any)
	source := sources[0].(map[string]any)
	if want := fmt.Sprintf("http://prometheus:%d", services["prometheus"].Ports[0].Target); source["url"] != want || source["isDefault"] != true {
		t.Errorf("the data source is %v, want %s", source, want)
	}
}
