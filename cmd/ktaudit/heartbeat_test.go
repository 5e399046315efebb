package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
)

// TestHeartbeat: a run with a rejection pings nothing for as long as the alert cannot be delivered,
// and pings once it was.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "6", "--tamper", "5=rewrite")
	hooks := newReceiver(t)
	hooks.set(true)
	pings := make(chan string, 100)
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pings <- r.Method + " " + r.URL.Path }))
	t.Cleanup(monitor.Close)
	text := fmt.Sprintf("audit_store: ./audit\nstore_unwritable_after: 1s\nheartbeat: {url_env: HEARTBEAT}\n"+
		"namespaces: [{namespace: example, log_directory: ./log, poll: 1s, settle: none}]\n"+
		"alerts: {webhook: {url: %q, secret_env: SECRET}}\n", hooks.URL)
	if err := os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := a.configured("run", "--to", "6").CombinedOutput(); err == nil {
		t.Fatalf("epoch 5 was not rejected: %s", out)
	}
	cmd := a.configured("run", "--listen", "127.0.0.1:0", "--concurrency", "2")
	cmd.Env = append(cmd.Env, "HEARTBEAT="+monitor.URL+"/ping/7e3f")
	address := startListening(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	waitForMetric := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			response, err := http.Get("http://" + address + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && strings.Contains(string(page), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the metrics never have %q", want)
			}
		}
	}
	waitForMetric(`ktaudit_alerts_pending{severity="critical"} 1`)
	waitForMetric(`ktaudit_alerts_failed_total{target="webhook"}`)
	select {
	case ping := <-pings:
		t.Fatalf("%s, though an alert is not delivered", ping)
	default:
	}
	hooks.set(false)
	select {
	case ping := <-pings:
		if ping != "GET /ping/7e3f" {
			t.Errorf("the ping is %s", ping)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("no ping, though all is well")
	}
	if want := []string{"firing rejected/000000000005"}; !slices.Equal(hooks.got(), want) {
		t.Errorf("the webhook was told of %q before the ping, want %q", hooks.got(), want)
	}
	waitForMetric(`ktaudit_heartbeats_total{result="sent"} 1`)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
}

// TestHeartbeatFileIsReadAgain: the address may change while a scheduler runs. While it cannot be
// read nothing is pinged.
func TestHeartbeatFileIsReadAgain(t *testing.T) {
	t.Parallel()
	var pinged []string
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pinged = append(pinged, r.URL.Path) }))
	defer monitor.Close()
	file := filepath.Join(t.TempDir(), "url")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(monitor.URL + "/first\n")
	ping, err := newPing(config.Heartbeat{URLFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(t.Context()); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "ftp://hunter2.example"} {
		write(bad)
		if err := ping(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("with the address %q: %v", bad, err)
		}
	}
	write(monitor.URL + "/second\n")
	if err := ping(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.Equal(pinged, []string{"/first", "/second"}) {
		t.Errorf("pinged are %q", pinged)
	}
}
