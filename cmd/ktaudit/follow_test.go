package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
)

// receiver is a webhook that remembers the incidents it was told of.
type receiver struct {
	*httptest.Server
	mu        sync.Mutex
	incidents []string
	down      bool
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var alert struct{ Kind, Incident, Status string }
		err := json.NewDecoder(request.Body).Decode(&alert)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || r.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.incidents = append(r.incidents, alert.Status+" "+jobstest.WithoutHash(alert.Incident))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.incidents))
}

// configure writes a configuration for the log, which tells the receiver.
func (a audited) configure(r *receiver) {
	a.t.Helper()
	text := fmt.Sprintf("audit_store: ./audit\nnamespaces: [{namespace: example, log_directory: ./log, poll: 1s, settle: none}]\n"+
		"alerts: {webhook: {url: %q, secret_env: SECRET}}\n", r.URL)
	if err := os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// configured is command with the configuration and nothing else in the environment.
func (a audited) configured(args ...string) *exec.Cmd {
	cmd := a.command(append(args, "--config", "ktaudit.yaml")...)
	cmd.Env = append(environment(a.dir), "SECRET=0123456789abcdef")
	return cmd
}

// TestRunFollows has one process do everything, with no Redis but the one inside it: it finds what
// the log publishes, is killed half-way and begins anew with an empty queue, sends one alert for
// one rejection, shows the metrics of scheduler and worker, and ends well when it is told to.
func TestRunFollows(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "60", "--tamper", "50=rewrite")
	hooks := newReceiver(t)
	a.configure(hooks)
	later := filepath.Join(a.dir, "later")
	if err := os.Mkdir(later, 0o755); err != nil {
		t.Fatal(err)
	}
	move := func(epoch int, from, to string) {
		t.Helper()
		name := fmt.Sprint(epoch)
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(a.dir, "log")
	for epoch := 41; epoch <= 60; epoch++ {
		move(epoch, log, later)
	}
	follow := func() (*exec.Cmd, string) {
		t.Helper()
		cmd := a.configured("run", "--listen", "127.0.0.1:0", "--concurrency", "2")
		address := startListening(t, cmd)
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd, address
	}

	killed, _ := follow()
	a.waitForVerdicts(5)
	_ = killed.Process.Kill()
	_ = killed.Wait()

	cmd, address := follow()
	a.waitForVerdicts(40)
	for epoch := 41; epoch <= 60; epoch++ {
		move(epoch, later, log)
	}
	a.waitForVerdicts(60)
	want := []string{"firing rejected/000000000050"}
	shown := []string{`ktaudit_newest_published_epoch{namespace="example"} 60`, `ktaudit_workers{namespace="example"} 1`,
		`ktaudit_alerts_sent_total{target="webhook"}`, "ktaudit_memory_budget_bytes ", `ktaudit_epochs_total{namespace="example",outcome="verified",reason=""}`}
	var missing []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		page := jobstest.MetricsPage(t, address)
		missing = slices.DeleteFunc(slices.Clone(shown), func(s string) bool { return strings.Contains(page, s) })
		if len(missing) == 0 && slices.Equal(hooks.got(), want) {
			break
		}
	}
	if len(missing) > 0 || !slices.Equal(hooks.got(), want) {
		t.Errorf("the webhook was told of %q, want %q; the metrics lack %q", hooks.got(), want, missing)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("told to stop, it ends with %v", err)
	}
	out, _ := a.configured("status").Output() // the rejection makes it exit with 1
	if !strings.Contains(string(out), "\nverified   59        1 to 49, 51 to 60\nrejected   1\nmissing    0\n") {
		t.Errorf("the status is\n%s", out)
	}
}

// TestLogOutOfReach: of several logs, one whose server is down when the process starts does not
// keep the others from being audited. Of a single one it is said at once.
func TestLogOutOfReach(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "5")
	const text = "audit_store: ./audit\nnamespaces:\n" +
		"  - {namespace: down, log_directory: 's3list+http://127.0.0.1:1', poll: 1s}\n" +
		"  - {namespace: example, log_directory: ./log, poll: 1s, settle: none}\n"
	if err := os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	alone := a.configured("run", "--namespace", "down")
	out, _ := alone.CombinedOutput() // the status is looked at
	if code := alone.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(string(out), "ktaudit.yaml:3:38: namespaces[0].log_directory: ") {
		t.Errorf("one log alone: exit status %d\n%s", code, out)
	}
	cmd := a.configured("run")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	a.waitForVerdicts(5)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(stderr.String(), "log is out of reach") {
		t.Errorf("told to stop, it ends with %v\n%s", err, stderr.String())
	}
}

// TestRunSendsAlerts: a range has no scheduler, so run sends what it found itself, and what an
// earlier one could not send.
func TestRunSendsAlerts(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "12", "--tamper", "7=rewrite", "--tamper", "11=rewrite")
	hooks := newReceiver(t)
	a.configure(hooks)
	run := func(to, warning string) {
		t.Helper()
		cmd := a.configured("run", "--to", to)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		began := time.Now()
		_ = cmd.Run() // the status is looked at below
		if got := cmd.ProcessState.ExitCode(); got != exitFound {
			t.Errorf("run --to %s exits with %d, want %d: %s", to, got, exitFound, stderr.String())
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("run --to %s took %s", to, took)
		}
		if !strings.Contains(stderr.String(), warning) {
			t.Errorf("run --to %s does not say that %s:\n%s", to, warning, stderr.String())
		}
	}
	hooks.set(true)
	run("8", "some alerts were not sent")
	if got := hooks.got(); len(got) > 0 {
		t.Fatalf("a webhook that is down got %q", got)
	}
	hooks.set(false)
	run("12", "")
	run("12", "") // has nothing more to tell
	want := []string{"firing rejected/000000000007", "firing rejected/000000000011"}
	if got := hooks.got(); !slices.Equal(got, want) {
		t.Errorf("the webhook was told of %q, want %q", got, want)
	}
}

// Commands that look again send what they find, too.
func TestReverifySendsAlerts(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "6")
	hooks := newReceiver(t)
	a.configure(hooks)
	if err := a.configured("run", "--to", "6").Run(); err != nil {
		t.Fatal(err)
	}
	batches, err := filepath.Glob(filepath.Join(a.dir, "log", "5", "*", "*"))
	if err != nil || len(batches) != 1 {
		t.Fatalf("batches %q, %v", batches, err)
	}
	if err := os.WriteFile(batches[0], []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := a.configured("reverify", "5")
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitFound {
		t.Errorf("reverify exits with %d, want %d: %s", cmd.ProcessState.ExitCode(), exitFound, out)
	}
	if got, want := hooks.got(), []string{"firing contradiction/000000000005"}; !slices.Equal(got, want) {
		t.Errorf("the webhook was told of %q, want %q", got, want)
	}
}
