package deploy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

var update = flag.Bool("update", false, "write the files that are made from others")

// object is one of Kubernetes' objects.
type object = map[string]any

// Combinations of what kubernetes/ has; of what a component needs, the base has everything.
var kustomizations = map[string]string{
	"base":                "resources: [kubernetes/base]",
	"trial":               "resources: [kubernetes/overlays/trial]",
	"production":          "resources: [kubernetes/overlays/production]",
	"keda":                "resources: [kubernetes/base]\ncomponents: [kubernetes/components/keda]",
	"prometheus-operator": "resources: [kubernetes/base]\ncomponents: [kubernetes/components/prometheus-operator]",
	"serve":               "resources: [kubernetes/base]\ncomponents: [kubernetes/components/serve]",
	"redis":               "resources: [kubernetes/base]\ncomponents: [kubernetes/components/redis]",
	"backfill":            "resources: [kubernetes/base]\ncomponents: [kubernetes/components/backfill]",
}

// kustomize renders a kustomization that is given without its first lines, with paths that are
// relative to this folder.
func kustomize(t *testing.T, text string) []object {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if here, err = filepath.EvalSymlinks(here); err != nil {
		t.Fatal(err)
	}
	if here, err = filepath.Rel(folder, here); err != nil { // kubectl takes no other paths
		t.Fatal(err)
	}
	text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + strings.ReplaceAll(text, "kubernetes/", here+"/kubernetes/")
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return decode(t, run(t, nil, testservers.Program(t, "kubectl"), "kustomize", folder))
}

// run returns what a program writes to standard output.
func run(t *testing.T, input []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var problems bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, problems.String())
	}
	return out
}

// decode returns the objects in YAML documents.
func decode(t *testing.T, text []byte) []object {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(documents(t, file), func(o object) bool { return o == nil })
}

// problems holds objects against the schemas of Kubernetes, KEDA and the Prometheus operator.
func problems(t *testing.T, objects []object) []string {
	t.Helper()
	folder, err := filepath.Abs("../.tools/kubernetes/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("scripts/test puts the schemas into .tools/kubernetes")
	}
	input, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	const program = "../scripts/kubernetes/validate.mjs"
	if _, err := os.ReadFile(program); err != nil { // so that go test knows of it
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(run(t, input, testservers.Program(t, "node"), program, folder))))
}

func TestKustomizations(t *testing.T) {
	t.Parallel()
	for name, text := range kustomizations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := kustomize(t, text)
			for _, problem := range problems(t, objects) {
				t.Error(problem)
			}
			checkObjects(t, objects)
		})
	}
}

// TestSchemas: the check finds what an API server would refuse, or drop without a word.
func TestSchemas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ object, problem string }{
		"unknown field":        {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selektor: {a: b}}", "unknown field .spec.selektor"},
		"unknown field inside": {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, imagePulPolicy: Always}]}", "unknown field .spec.containers.0.imagePulPolicy"},
		"unknown in metadata":  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, label: {a: b}}", "unknown field .metadata.label"},
		"type":                 {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: '2'}", "/replicas must be integer"},
		"missing":              {"apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {triggers: []}", "required property scaleTargetRef"},
		"unknown in KEDA":      {"apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {triggers: [], scaleTargetRef: {name: a}, minReplicas: 1}", "unknown field .spec.minReplicas"},
		"unknown in a monitor": {"apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: a}\nspec: {selector: {}, podMetricsEndpoint: []}", "unknown field .spec.podMetricsEndpoint"},
		"kind":                 {"apiVersion: apps/v1\nkind: CronJob\nmetadata: {name: a}", "there is no CronJob in apps/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(problems(t, decode(t, []byte(c.object))), "")
			if !strings.Contains(got, c.problem) {
				t.Errorf("problems are %q, want %q", got, c.problem)
			}
		})
	}
}

// TestImageOfRegistry: image, registry and digest are values.
func TestImageOfRegistry(t *testing.T) {
	t.Parallel()
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	text := kustomizations["serve"] + ", kubernetes/components/backfill]\nimages: [{name: ktaudit, newName: registry.example.org/a/ktaudit, digest: '" + digest + "'}]"
	pods := 0
	for _, o := range kustomize(t, strings.Replace(text, "serve],", "serve,", 1)) {
		if pod := podOf(o); pod != nil {
			pods++
			if got, want := containerOf(pod)["image"], "registry.example.org/a/ktaudit@"+digest; got != want {
				t.Errorf("%v runs %v, want %s", o["kind"], got, want)
			}
		}
	}
	if pods != 4 {
		t.Errorf("%d kinds of pods, want 4", pods)
	}
}

// TestReplicasAreLeftToKEDA: a number in the manifest would undo what KEDA set.
func TestReplicasAreLeftToKEDA(t *testing.T) {
	t.Parallel()
	for _, o := range kustomize(t, kustomizations["keda"]) {
		spec, _ := o["spec"].(object)
		if _, set := spec["replicas"]; set && nameOf(o) == "ktaudit-worker" {
			t.Errorf("the worker has replicas: %v", spec["replicas"])
		}
	}
}

// TestPrometheusRule: the object for the Prometheus operator is made from the rules. kustomize takes
// files of its own folder only, and cannot put one YAML file into another.
func TestPrometheusRule(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("prometheus/ktaudit.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, groups, found := strings.Cut("\n"+string(rules), "\ngroups:\n")
	if !found {
		t.Fatal("there are no groups")
	}
	var made strings.Builder
	made.WriteString(`# Made from prometheus/ktaudit.rules.yaml by  go test ./deploy -run TestPrometheusRule -update
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ktaudit
  labels: {app.kubernetes.io/name: ktaudit}
spec:
  groups:
`)
	for line := range strings.Lines(groups) {
		if line != "\n" {
			made.WriteString("  ")
		}
		made.WriteString(line)
	}
	const file = "kubernetes/components/prometheus-operator/prometheusrule.yaml"
	if *update {
		if err := os.WriteFile(file, []byte(made.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != made.String() {
		t.Errorf("%s is not made from prometheus/ktaudit.rules.yaml as it is now: run  go test ./deploy -run TestPrometheusRule -update", file)
	}
}

// The schemas also have versions that Kubernetes once had.
var apiVersions = []string{
	"v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1", "keda.sh/v1alpha1", "monitoring.coreos.com/v1",
}

// checkObjects holds objects against each other, and pods against what they must be.
func checkObjects(t *testing.T, objects []object) {
	t.Helper()
	var pods []object
	for _, o := range objects {
		if version := fmt.Sprint(o["apiVersion"]); !slices.Contains(apiVersions, version) {
			t.Errorf("%s: add %s to this test, if today's Kubernetes has it", nameOf(o), version)
		}
		if pod := podOf(o); pod != nil {
			checkPod(t, fmt.Sprint(o["kind"], " ", nameOf(o)), pod)
			pods = append(pods, pod)
		}
		if text, ok := dig(o, "data", "ktaudit.yaml").(string); ok {
			checkConfiguration(t, text)
		}
	}
	for _, o := range objects {
		selector := dig(o, "spec", "selector", "matchLabels")
		switch o["kind"] {
		case "Service":
			selector = dig(o, "spec", "selector")
		case "NetworkPolicy":
			selector = dig(o, "spec", "podSelector", "matchLabels")
		}
		labels, ok := selector.(object)
		if ok && !slices.ContainsFunc(pods, func(pod object) bool { return hasLabels(pod, labels) }) {
			t.Errorf("%v %s selects %v, and there is no such pod", o["kind"], nameOf(o), labels)
		}
	}
	for _, pod := range pods {
		var policies int
		for _, o := range objects {
			labels, ok := dig(o, "spec", "podSelector", "matchLabels").(object)
			if ok && hasLabels(pod, labels) && fmt.Sprint(dig(o, "spec", "policyTypes")) == "[Ingress Egress]" {
				policies++
			}
		}
		if policies == 0 {
			t.Errorf("no policy keeps others from %v", dig(pod, "metadata", "labels"))
		}
	}
}

// checkPod: the strictest standard for pods, limits that are safe, and probes that restart nothing
// because Redis or a bucket is away.
func checkPod(t *testing.T, name string, template object) {
	t.Helper()
	pod := template["spec"].(object)
	container := containerOf(template)
	want := func(value any, in object, keys ...string) {
		t.Helper()
		if got := dig(in, keys...); fmt.Sprint(got) != fmt.Sprint(value) {
			t.Errorf("%s: %s is %v, want %v", name, strings.Join(keys, "."), got, value)
		}
	}
	want(true, pod, "securityContext", "runAsNonRoot")
	want("RuntimeDefault", pod, "securityContext", "seccompProfile", "type")
	want(false, pod, "automountServiceAccountToken")
	want(false, pod, "enableServiceLinks")
	want(false, container, "securityContext", "allowPrivilegeEscalation")
	want(true, container, "securityContext", "readOnlyRootFilesystem")
	want("[ALL]", container, "securityContext", "capabilities", "drop")
	want(nil, container, "resources", "limits", "cpu")
	for _, resource := range []string{"memory", "ephemeral-storage"} {
		if dig(container, "resources", "limits", resource) == nil || dig(container, "resources", "requests", resource) == nil {
			t.Errorf("%s: no request or no limit of %s", name, resource)
		}
	}
	if dig(container, "resources", "requests", "cpu") == nil {
		t.Errorf("%s: no request of the CPU", name)
	}
	if args := fmt.Sprint(container["args"]); strings.Contains(args, "redis-server") || strings.Contains(args, "enqueue") {
		return
	}
	want("/healthz", container, "startupProbe", "httpGet", "path")
	want("/healthz", container, "livenessProbe", "httpGet", "path")
	want("/readyz", container, "readinessProbe", "httpGet", "path")
	// After shutdown_timeout verdicts are written, for as long at most.
	grace, _ := dig(pod, "terminationGracePeriodSeconds").(uint64)
	if least := 2 * config.Default().ShutdownTimeout; time.Duration(grace)*time.Second < least {
		t.Errorf("%s: it is killed after %d s, and needs %s", name, grace, least)
	}
}

func checkConfiguration(t *testing.T, text string) {
	t.Helper()
	c, err := config.Parse("ktaudit.yaml", []byte(text))
	if err != nil {
		t.Error(err)
		return
	}
	if c.Listen != "0.0.0.0:9464" {
		t.Errorf("it listens on %s; probes look at 9464", c.Listen)
	}
}

// podOf returns the template of an object's pods, or nil.
func podOf(o object) object {
	for _, keys := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
		if pod, ok := dig(o, keys...).(object); ok {
			return pod
		}
	}
	return nil
}

func containerOf(template object) object {
	return dig(template, "spec", "containers").([]any)[0].(object)
}

func nameOf(o object) string { return fmt.Sprint(dig(o, "metadata", "name")) }

func hasLabels(pod, labels object) bool {
	for key, value := range labels {
		if dig(pod, "metadata", "labels", key) != value {
			return false
		}
	}
	return true
}

// dig follows keys into nested mappings, and returns nil where there are none.
func dig(o object, keys ...string) any {
	var value any = o
	for _, key := range keys {
		m, _ := value.(object)
		value = m[key]
	}
	return value
}
