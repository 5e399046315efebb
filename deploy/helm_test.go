package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

const chart = "helm/ktaudit"

var everything = []string{
	"serve.enabled=true", "config.serve.listen=0.0.0.0:8080", "keda.enabled=true", "prometheusOperator.enabled=true",
	"backfill.enabled=true", "redis.enabled=true",
}

// helm renders the chart as the release ktaudit, with values.
func helm(t *testing.T, values ...string) []object {
	t.Helper()
	return decode(t, run(t, nil, testservers.Program(t, "helm"), helmArgs("ktaudit", values...)...))
}

func helmArgs(release string, values ...string) []string {
	args := []string{"template", release, chart}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	return args
}

func TestChart(t *testing.T) {
	t.Parallel()
	t.Run("lint", func(t *testing.T) {
		t.Parallel()
		run(t, nil, testservers.Program(t, "helm"), "lint", "--strict", chart)
	})
	for name, values := range map[string][]string{
		"defaults":   nil,
		"everything": everything,
		"trial":      {"redis.enabled=true", "secret.values.REDIS_PASSWORD=a"},
		"options": {
			"image.pullSecrets={a,b}", "image.pullPolicy=Always", "serviceAccount.annotations.a/b=c", "podAnnotations.a/b=c",
			"nodeSelector.a/b=c", "tolerations[0].key=a", "tolerations[0].operator=Exists", "prometheusOperator.enabled=true",
			"prometheusOperator.labels.release=a", "keda.enabled=true", "keda.passwordKey=", "keda.namespaces={a,b}",
			"networkPolicy.egress[0].ports[0].port=9000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := helm(t, values...)
			for _, problem := range problems(t, objects) {
				t.Error(problem)
			}
			checkObjects(t, objects)
		})
	}
}

// TestChartIsAsTheKustomization: who moves from one to the other gets the same.
func TestChartIsAsTheKustomization(t *testing.T) {
	t.Parallel()
	of := func(objects []object) map[string]any {
		all := map[string]any{}
		for _, o := range objects {
			o = withoutMarks(o).(object)
			if text, ok := dig(o, "data", "ktaudit.yaml").(string); ok {
				var config object
				if err := yaml.Unmarshal([]byte(text), &config); err != nil {
					t.Fatal(err)
				}
				delete(config, "serve") // a value, which the base does not set
				o["data"] = config
			}
			all[o["kind"].(string)+" "+nameOf(o)] = o
		}
		return all
	}
	var components strings.Builder
	for _, name := range []string{"keda", "prometheus-operator", "serve", "redis", "backfill"} {
		components.WriteString("\n- kubernetes/components/" + name)
	}
	kustomized := of(kustomize(t, "resources: [kubernetes/base]\ncomponents:"+components.String()+"\nimages: [{name: ktaudit, newTag: v0.1.0}]"))
	if diff := cmp.Diff(kustomized, of(helm(t, everything...))); diff != "" {
		t.Errorf("kustomization (-) and chart (+) differ:\n%s", diff)
	}
}

// withoutMarks leaves out what only one of the two adds: Helm's labels and the hash of a ConfigMap.
func withoutMarks(value any) any {
	switch value := value.(type) {
	case object:
		o := object{}
		for key, v := range value {
			switch key {
			case "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart", "checksum/config":
				continue
			}
			v = withoutMarks(v)
			if m, ok := v.(object); ok && key == "annotations" && len(m) == 0 {
				continue
			}
			o[key] = v
		}
		return o
	case []any:
		var all []any
		for _, v := range value {
			all = append(all, withoutMarks(v))
		}
		return all
	case string:
		return regexp.MustCompile(`^ktaudit-[0-9a-z]{10}$`).ReplaceAllString(value, "ktaudit")
	}
	return value
}

// TestChartRefuses values that make no sense, before anything is installed.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	program := testservers.Program(t, "helm")
	for name, c := range map[string]struct{ value, says string }{
		"misspelled":          {"worker.replica=3", "replica"},
		"digest":              {"image.digest=sha256:abc", "digest"},
		"no limit":            {"worker.resources.limits.memory=null", "memory"},
		"other port":          {"config.listen=0.0.0.0:80", "listen"},
		"embedded Redis":      {"config.redis=embedded", "redis"},
		"killed too soon":     {"terminationGracePeriodSeconds=10", "terminationGracePeriodSeconds"},
		"serve is not set up": {"serve.enabled=true", "config.serve.listen"},
		"address with scheme": {"keda.redis=redis://a:6379", "keda"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), program, helmArgs("ktaudit", c.value)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, and helm says %s", err, out)
			}
		})
	}
}

// TestTwoReleases: two of them in one namespace share no name and no pod.
func TestTwoReleases(t *testing.T) {
	t.Parallel()
	var names []string
	for _, release := range []string{"ktaudit", "other"} {
		values := slices.DeleteFunc(slices.Clone(everything), func(v string) bool { return strings.HasPrefix(v, "redis.") })
		for _, o := range decode(t, run(t, nil, testservers.Program(t, "helm"), helmArgs(release, values...)...)) {
			name := o["kind"].(string) + " " + nameOf(o)
			if slices.Contains(names, name) {
				t.Errorf("both have a %s", name)
			}
			names = append(names, name)
			for _, keys := range [][]string{{"spec", "selector", "matchLabels"}, {"spec", "podSelector", "matchLabels"}} {
				if labels, ok := dig(o, keys...).(object); ok && labels["app.kubernetes.io/instance"] != release {
					t.Errorf("%s selects %v", name, labels)
				}
			}
		}
	}
}

// TestSchemaOfValues: it has every value, so that each may be set.
func TestSchemaOfValues(t *testing.T) {
	t.Parallel()
	var schema struct{ Properties map[string]any }
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for key := range documents(t, chart+"/values.yaml")[0] {
		if schema.Properties[key] == nil {
			t.Errorf("values.schema.json lacks %s", key)
		}
	}
}
