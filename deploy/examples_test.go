package deploy

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
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

// composeProject reads a compose file as docker compose does.
func composeProject(t *testing.T, file string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithName("test"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return project
}

// TestConfigurations: the configuration files in the examples are what ktaudit takes, and listen
// where the examples look.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("compose/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if c.Listen != "0.0.0.0:9464" {
				t.Errorf("it listens on %s; health checks and prometheus.yaml look at 9464", c.Listen)
			}
		})
	}
}

// TestRedisKeepsTasks: the one setting of Redis that matters.
func TestRedisKeepsTasks(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"compose.yaml", "compose.demo.yaml"} {
		if command := strings.Join(composeProject(t, file).Services["redis"].Command, " "); !strings.Contains(command, "--maxmemory-policy noeviction") {
			t.Errorf("%s: redis is started as %q", file, command)
		}
	}
}

// TestCompose: every service comes back by itself, can write to its volumes only, and has no
// rights; ktaudit's are asked whether they live, and have the time to stop.
func TestCompose(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("compose*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		for name, service := range composeProject(t, file).Services {
			if service.Restart != "unless-stopped" || !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) ||
				!slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) {
				t.Errorf("%s: %s: restart %q, read only %t, %q, %q", file, name, service.Restart, service.ReadOnly, service.CapDrop, service.SecurityOpt)
			}
			for _, port := range service.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s: port %d can be reached from other machines", file, name, port.Target)
				}
			}
			switch service.Image {
			case "ktaudit":
				if service.StopGracePeriod == nil || time.Duration(*service.StopGracePeriod) != 75*time.Second {
					t.Errorf("%s: %s: stop_grace_period is %v", file, name, service.StopGracePeriod)
				}
				if service.Command[0] != "simulate" && !slices.Equal(service.HealthCheck.Test, []string{"CMD", "ktaudit", "health"}) {
					t.Errorf("%s: %s: its health is asked by %q", file, name, service.HealthCheck.Test)
				}
			default:
				if _, version, _ := strings.Cut(service.Image, ":"); version == "" || version == "latest" {
					t.Errorf("%s: %s: %s may be anything", file, name, service.Image)
				}
			}
		}
	}
}

// TestStopTimes: whoever stops a worker gives it the same time everywhere.
func TestStopTimes(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
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
