package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestListen looks at a run through the eyes of Prometheus and of a probe.
func TestListen(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "20")
	// Epoch 21 is not there, and run waits for it.
	cmd := a.command("run", "--from", "1", "--to", "21", "--wait", "1h", "--listen", "127.0.0.1:0", "--debug-listen", "127.0.0.1:0", "--log-level", "info")
	address := startListening(t, cmd)

	eventually := func(path string, status int, want ...string) {
		t.Helper()
		var got string
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			response, err := http.Get("http://" + address + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			got = string(body)
			missing := slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(got, w) })
			if response.StatusCode == status && !missing {
				return
			}
		}
		t.Errorf("%s never is %d with %q; last it was\n%s", path, status, want, got)
	}
	eventually("/healthz", 200, "ok\n")
	eventually("/readyz", 200, "audit_store: ok\nredis: ok\n")
	eventually("/metrics", 200,
		`ktaudit_epochs_total{namespace="example",outcome="verified",reason=""} 20`+"\n",
		`ktaudit_epoch_stage_seconds_count{namespace="example",stage="write"} 20`+"\n",
		`ktaudit_queue_tasks{class="backfill",namespace="example",state="retry"} 1`+"\n",
		`ktaudit_workers{namespace="example"} 1`+"\n",
		`ktaudit_dependency_up{dependency="audit_store"} 1`+"\n",
		"ktaudit_memory_budget_bytes ", "ktaudit_hash_path_info{", "ktaudit_build_info{", "go_goroutines ",
	)
	health := func(want int, args ...string) {
		t.Helper()
		cmd := a.command(append([]string{"health", "--listen", address}, args...)...)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("health %q exits with %d, want %d: %s", args, cmd.ProcessState.ExitCode(), want, out)
		}
	}
	health(exitGood, "--ready")
	if err := os.Rename(filepath.Join(a.dir, "audit"), filepath.Join(a.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	eventually("/readyz", 503, "audit_store: not reachable\nredis: ok\n")
	health(exitFound, "--ready")
	health(exitGood)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // interrupted
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("something listens when the run has ended")
	}
	health(exitFound)
}

// startListening starts a command with --listen and --log-level info, or one that serves, and
// returns where it listens.
func startListening(t *testing.T, cmd *exec.Cmd) (address string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address = listeningAddress(bufio.NewScanner(stderr))
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return address
}

// listeningAddress reads log lines until one says where metrics are served.
func listeningAddress(lines *bufio.Scanner) (address string) {
	for address == "" && lines.Scan() {
		var line struct{ Message, Address string }
		_ = json.Unmarshal(lines.Bytes(), &line) // what is no JSON is another's line
		if line.Message == "serving metrics" {
			address = line.Address
		}
	}
	return address
}

func TestListenRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, err := newAudited(t, "1").command("run", "--from", "1", "--to", "1", "--listen", taken.Addr().String()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "give this one another with --listen") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTraces has a collector beside a run, which sends a trace of each epoch, and one that is away,
// which changes nothing.
func TestTraces(t *testing.T) {
	t.Parallel()
	var epochs atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		epochs.Add(int64(bytes.Count(body, []byte("ktaudit.epoch"))))
	}))
	defer collector.Close()
	a := newAudited(t, "5")
	run := func(endpoint string) {
		t.Helper()
		cmd := a.command("run", "--from", "1", "--to", "5")
		cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT=200")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	run(collector.URL)
	if n := epochs.Load(); n != 5 {
		t.Errorf("the collector got %d epochs, want 5", n)
	}
	a = newAudited(t, "5")
	run("http://127.0.0.1:1")
}

// TestDeploymentCommands parses every command line in the examples of deploy/.
func TestDeploymentCommands(t *testing.T) {
	t.Parallel()
	var found []string
	for pattern, command := range map[string]string{
		"../../deploy/compose*.yaml":                  `(?m)^ +command: ((?:scheduler|worker|run) .*)$`,
		"../../deploy/kubernetes/base/*.yaml":         `(?m)^ +args: \[(.*)\]$`,
		"../../deploy/kubernetes/components/*/*.yaml": `(?m)^ +args: \[((?:enqueue|run|scheduler|serve|worker),.*)\]$`,
		"../../deploy/systemd/*.service":              `(?m)^ExecStart=/usr/bin/ktaudit (.*)$`,
		"../../deploy/cron/*":                         `(?m)ktaudit ktaudit (.*?)(?: >.*)?$`,
	} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range regexp.MustCompile(command).FindAllStringSubmatch(string(text), -1) {
				found = append(found, strings.ReplaceAll(match[1], ",", ""))
			}
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) < 8 {
		t.Errorf("found only %q", found)
	}
	for _, line := range found {
		var c cli
		parser, err := newParser(&c, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(parser, strings.Fields(line)); err != nil {
			t.Errorf("ktaudit %s: %v", line, err)
		}
	}
}
