package deploy

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	_ "github.com/ktaudit/ktaudit/blobstore/s3list" // the public logs' scheme
	"github.com/ktaudit/ktaudit/internal/config"
)

// documents returns the YAML documents of a file.
func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []map[string]any
	for decoder := yaml.NewDecoder(f); ; {
		var d map[string]any
		switch err := decoder.Decode(&d); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, d)
	}
}

// at follows keys into nested mappings.
func at(t *testing.T, d map[string]any, keys ...string) any {
	t.Helper()
	var value any = d
	for _, key := range keys {
		m, ok := value.(map[string]any)
		if !ok || m[key] == nil {
			t.Fatalf("there is no %s", strings.Join(keys, "."))
		}
		value = m[key]
	}
	return value
}

// TestConfigurations: the configuration files in the examples are what ktaudit takes, and listen
// where the examples look.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]any{
		"single":  at(t, documents(t, "compose.single.yaml")[0], "configs", "ktaudit", "content"),
		"compose": at(t, documents(t, "compose.yaml")[0], "configs", "ktaudit", "content"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse(name, []byte(text.(string)))
			if err != nil {
				t.Fatal(err)
			}
			if c.Listen != "0.0.0.0:9464" {
				t.Errorf("it listens on %s; probes and prometheus.yaml look at 9464", c.Listen)
			}
		})
	}
}

// TestRedisKeepsTasks: the one setting of Redis that matters.
func TestRedisKeepsTasks(t *testing.T) {
	t.Parallel()
	command := at(t, documents(t, "compose.yaml")[0], "services", "redis", "command").(string)
	if !strings.Contains(command, "--maxmemory-policy noeviction") {
		t.Errorf("redis is started as %q", command)
	}
}

// TestStopTimes: whoever stops a worker gives it the same time everywhere.
func TestStopTimes(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"compose.yaml":                      "stop_grace_period: 75s",
		"compose.single.yaml":               "stop_grace_period: 75s",
		"systemd/ktaudit.service":           "TimeoutStopSec=75\n",
		"systemd/ktaudit-worker.service":    "TimeoutStopSec=75\n",
		"systemd/ktaudit-scheduler.service": "TimeoutStopSec=75\n",
		"systemd/ktaudit-serve.service":     "TimeoutStopSec=75\n",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q", file, want)
		}
	}
}

// TestReadme: it names every example, and only such as there are.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(match[1]); err != nil {
			t.Errorf("README.md names %s: %v", match[1], err)
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "README.md" && !strings.HasSuffix(name, ".go") && !strings.Contains(string(text), "`"+name) {
			t.Errorf("README.md doesn't name %s", name)
		}
	}
}
