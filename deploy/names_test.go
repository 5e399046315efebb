package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/config"
)

// rule is what is of interest in one of Prometheus's rules.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("prometheus/ktaudit.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name, Interval string
			Rules          []rule
		}
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// dashboardQueries returns the dashboard's queries, with something in place of its variables.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("grafana/ktaudit.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, strings.ReplaceAll(target.Expr, "$namespace", ".*"))
		}
	}
	if len(all) == 0 {
		t.Fatal("the dashboard has no queries")
	}
	return all
}

// TestNames holds every name in rules and dashboard against what a process really shows.
func TestNames(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"up": true}
	for _, match := range regexp.MustCompile(`(?m)^([a-z_]+)(?:\{| )`).FindAllStringSubmatch(page(t), -1) {
		known[match[1]] = true
	}
	all := rules(t)
	for _, r := range all {
		if r.Record != "" {
			known[r.Record] = true
		}
	}
	name := regexp.MustCompile(`\b(?:ktaudit[_:][a-z0-9_:]+|process_[a-z_]+|go_[a-z_]+|up)\b`)
	check := func(where, expr string) {
		names := name.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %q", where, expr)
		}
		for _, n := range names {
			if !known[n] {
				t.Errorf("%s: %s does not exist", where, n)
			}
		}
	}
	for _, r := range all {
		check(r.Record+r.Alert, r.Expr)
	}
	for _, expr := range dashboardQueries(t) {
		check("dashboard", expr)
	}
}

// TestLabels holds every label value that rules and dashboard select against what a process may
// show.
func TestLabels(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{"job=ktaudit": true}
	for _, match := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(page(t), -1) {
		shown[match[1]+"="+match[2]] = true
	}
	exprs := dashboardQueries(t)
	for _, r := range rules(t) {
		exprs = append(exprs, r.Expr)
	}
	for _, expr := range exprs {
		for _, match := range regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"([^"]*)"`).FindAllStringSubmatch(expr, -1) {
			for value := range strings.SplitSeq(match[2], "|") {
				if value != ".*" && !shown[match[1]+"="+value] {
					t.Errorf("%s: %s never has the value %q", expr, match[1], value)
				}
			}
		}
	}
}

// TestEveryAlertIsTested: an alert has a severity, says what to make of it, links to its section of
// the runbook, and is raised in the rules' tests.
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile("prometheus/ktaudit.rules.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	raised := regexp.MustCompile(`alertname: (\w+)\n\s+exp_alerts:(?: &\w+)?\n`)
	runbook, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{} // as GitHub makes them
	for _, match := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(runbook), -1) {
		anchors[strings.ToLower(match[1])] = true
	}
	for _, k := range alert.Kinds() {
		if !anchors[string(k)] {
			t.Errorf("docs/runbook.md has no section %s", k)
		}
	}
	covered := map[string]bool{}
	for _, match := range raised.FindAllStringSubmatch(string(tests), -1) {
		covered[match[1]] = true
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			if !strings.Contains(string(tests), "expr: "+r.Record+"\n") {
				t.Errorf("%s has no test", r.Record)
			}
			continue
		}
		if !covered[r.Alert] {
			t.Errorf("%s is raised in no test", r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		anchor, linked := strings.CutPrefix(r.Annotations["runbook_url"], config.Default().Runbook+"#")
		if !linked || !anchors[anchor] && anchor != "{{ $labels.kind }}" {
			t.Errorf("%s has the runbook %q, where docs/runbook.md has no such section", r.Alert, r.Annotations["runbook_url"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", r.Alert)
		}
	}
}
