package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// served is a process that serves the API of the log in an audited directory.
type served struct {
	t       *testing.T
	cmd     *exec.Cmd
	api     string // address
	metrics string
	client  *http.Client
	told    bool // to stop
	ended   chan struct{}

	mu      sync.Mutex
	written strings.Builder // after it began to serve
}

// serve starts ktaudit serve with the configuration and more flags.
func (a audited) serve(args ...string) *served {
	a.t.Helper()
	s := &served{t: a.t, client: &http.Client{}, ended: make(chan struct{})}
	s.cmd = a.command(append([]string{"serve", "--config", "ktaudit.yaml", "--api-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = environment(a.dir)
	stderr, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	before := ""
	for s.api == "" && lines.Scan() {
		before += lines.Text() + "\n"
		var line struct{ Message, Address string }
		_ = json.Unmarshal(lines.Bytes(), &line)
		switch line.Message {
		case "serving metrics":
			s.metrics = line.Address
		case "serving the API":
			s.api = line.Address
		}
	}
	if s.api == "" {
		a.t.Fatalf("it does not serve: %v\n%s", s.cmd.Wait(), before)
	}
	go func() {
		defer close(s.ended)
		for lines.Scan() {
			s.mu.Lock()
			s.written.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
		}
	}()
	return s
}

// log is what it has written since it serves.
func (s *served) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

// get asks a server of the process.
func (s *served) get(address, path string) (status int, body string) {
	s.t.Helper()
	response, err := s.client.Get("http://" + address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// post posts an epoch's digest.
func (s *served) post(token string, epoch int, digest string) (status int, body []byte) {
	s.t.Helper()
	return s.send(token, http.MethodPost, "/namespaces/example/audits", postOf(epoch, digest))
}

// send sends a body to the API.
func (s *served) send(token, method, path, text string) (status int, body []byte) {
	s.t.Helper()
	request, err := http.NewRequest(method, "http://"+s.api+path, strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, body
}

func postOf(epoch int, digest string) string {
	return fmt.Sprintf(`{"epoch":%d,"digest":"%s"}`, epoch, digest)
}

// end stops the process, and returns what it has written since it serves.
func (s *served) end() string {
	s.t.Helper()
	s.tell()
	<-s.ended
	log := s.log()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("it ends with %v\n%s", err, log)
	}
	return log
}

// tell tells the process to stop, once: told again, it would end at once.
func (s *served) tell() {
	s.t.Helper()
	if s.told {
		return
	}
	s.told = true
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
}

func (a audited) write(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		a.t.Fatal(err)
	}
}

// newServed has a key, a token, and a configuration for serve; lines stand in its signing.
func newServed(t *testing.T, serve, signing string) audited {
	t.Helper()
	a := newAudited(t, "3")
	if out, err := a.command("keygen").CombinedOutput(); err != nil {
		t.Fatalf("keygen: %v\n%s", err, out)
	}
	a.write("token", "first\n")
	a.write("ktaudit.yaml", `audit_store: ./audit
serve: {listen: ":8443", keys: [{file: signing.key}]`+serve+`}
namespaces:
  - namespace: example
    log_directory: ./log
    signing: {`+signing+`}
`)
	return a
}

func digestLike(n int) string { return fmt.Sprintf("%064x", n) }

// TestServe has two replicas over one folder, without the Redis that they should have. They sign
// the same, record a conflict, take a new token without being restarted, and end well.
func TestServe(t *testing.T) {
	t.Parallel()
	a := newServed(t, "", "token_file: token")
	nothing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing.Close()
	down := "redis://" + nothing.Addr().String()
	one, two := a.serve("--redis", down), a.serve("--redis", down)

	for epoch := 1; epoch <= 3; epoch++ {
		status, signed := one.post("first", epoch, digestLike(epoch))
		again, same := two.post("first", epoch, digestLike(epoch))
		if status != http.StatusOK || again != status || !bytes.Equal(signed, same) {
			t.Fatalf("epoch %d: %d %s, and %d %s", epoch, status, signed, again, same)
		}
		if _, shown := two.get(two.api, fmt.Sprintf("/namespaces/example/audits/%d", epoch)); shown != string(signed) {
			t.Errorf("epoch %d is shown as %s", epoch, shown)
		}
	}
	if status, body := two.post("first", 2, digestLike(7)); status != http.StatusConflict {
		t.Errorf("another digest: %d %s", status, body)
	}
	a.wantEquivocation()
	if status, body := one.post("second", 4, digestLike(4)); status != http.StatusUnauthorized {
		t.Errorf("with another token: %d %s", status, body)
	}
	a.write("token", "second\n")
	one.until("a new token is taken", func() bool {
		status, _ := one.post("second", 4, digestLike(4))
		return status == http.StatusOK
	})
	if status, _ := one.post("first", 5, digestLike(5)); status != http.StatusUnauthorized {
		t.Errorf("the old token is still taken: %d", status)
	}

	if status, body := one.get(one.metrics, "/readyz"); status != http.StatusOK {
		t.Errorf("not ready, for Redis: %d %s", status, body)
	}
	_, shown := two.get(two.metrics, "/metrics")
	for _, want := range []string{
		`ktaudit_signed_total{namespace="example"} 3`, `ktaudit_signing_conflicts_total{namespace="example"} 1`,
		`ktaudit_last_signed_epoch{namespace="example"} 3`, `ktaudit_api_requests_total{code="409",method="POST",route="/namespaces/{namespace}/audits"} 1`,
		`ktaudit_incidents_open{kind="equivocation",namespace="example",severity="critical"} 1`,
	} {
		if !strings.Contains(shown, want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
	one.wantDrained("second", 5)
	for _, s := range []*served{one, two} {
		if log := s.end(); strings.Count(log, "signed epochs are not put on the queue") != 1 {
			t.Errorf("of Redis it says:\n%s", log)
		}
	}
}

// wantEquivocation checks that a conflict that was answered is on record, and keeps status red.
func (a audited) wantEquivocation() {
	a.t.Helper()
	store := []string{"--namespace", "example", "--audit-store", "audit"}
	out, err := a.command(append([]string{"incidents"}, store...)...).CombinedOutput()
	if !bytes.Contains(out, []byte("equivocation/000000000002/posted-")) {
		a.t.Errorf("incidents: %v\n%s", err, out)
	}
	out, err = a.command(append([]string{"status"}, store...)...).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitFound || !bytes.Contains(out, []byte("equivocation")) {
		a.t.Errorf("status: %v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(a.dir, "audit/example/evidence/000000000/000000000002/posted-*.json"))
	if err != nil || len(files) != 1 {
		a.t.Fatalf("evidence: %q, %v", files, err)
	}
	if data, err := os.ReadFile(files[0]); err != nil || !bytes.Contains(data, []byte(`"by":"bearer token"`)) {
		a.t.Errorf("evidence: %s, %v", data, err)
	}
}

// wantDrained tells the process to stop while a post is half there: it is answered all the same,
// and no other is taken.
func (s *served) wantDrained(token string, epoch int) {
	s.t.Helper()
	body := postOf(epoch, digestLike(epoch))
	conn, err := net.Dial("tcp", s.api)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /namespaces/example/audits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		token, len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // the handler reads the body
		s.t.Fatalf("%q, %v", line, err)
	}
	s.tell()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		other, err := net.Dial("tcp", s.api)
		if err != nil {
			break
		}
		other.Close()
		if time.Now().After(deadline) {
			s.t.Fatal("told to stop, it takes connections")
		}
	}
	fmt.Fprint(conn, body)
	answer, err := io.ReadAll(answers)
	if err != nil || !bytes.Contains(answer, []byte("HTTP/1.1 200")) || !bytes.Contains(answer, []byte(digestLike(epoch))) {
		s.t.Errorf("%q, %v", answer, err)
	}
}

// until waits for what becomes so by itself.
func (s *served) until(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// TestServeVerified: where verified epochs are signed, a post comes too early until then, and after
// that nobody needs to post.
func TestServeVerified(t *testing.T) {
	t.Parallel()
	t.Run("by the file", func(t *testing.T) {
		t.Parallel()
		testServeVerified(t, "token_file: token, mode: verified, root: ROOT")
	})
	t.Run("by a flag", func(t *testing.T) {
		t.Parallel()
		testServeVerified(t, "token_file: token, root: ROOT", "--sign", "verified")
	})
}

func testServeVerified(t *testing.T, signing string, flags ...string) {
	t.Helper()
	a := newServed(t, "", signing)
	files, err := filepath.Glob(filepath.Join(a.dir, "log/1/*/*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	root := filepath.Base(files[0])
	config, err := os.ReadFile(filepath.Join(a.dir, "ktaudit.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("ktaudit.yaml", strings.Replace(string(config), "ROOT", "1/"+root, 1))
	s := a.serve(flags...)
	if status, body := s.post("first", 1, root); status != http.StatusConflict || !bytes.Contains(body, []byte("not-verified")) {
		t.Errorf("not verified: %d %s", status, body)
	}
	if out, err := a.command("run", "--from", "1", "--to", "3").CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	s.until("all are signed", func() bool {
		status, _ := s.get(s.api, "/namespaces/example/audits/3")
		return status == http.StatusOK
	})
	if status, body := s.post("first", 1, root); status != http.StatusOK {
		t.Errorf("posted again: %d %s", status, body)
	}
	if out, err := a.command("status").CombinedOutput(); err != nil || !strings.Contains(string(out), "\nsigned     3         1 to 3\n") {
		t.Errorf("status: %v\n%s", err, out)
	}
	s.end()
}

// TestServeEnqueues: a signed epoch is on the queue at once.
func TestServeEnqueues(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	a := newServed(t, "", "token_file: token")
	s := a.serve("--redis", server.URL())
	for epoch := 1; epoch <= 3; epoch++ {
		if status, body := s.post("first", epoch, digestLike(epoch)); status != http.StatusOK {
			t.Fatalf("epoch %d: %d %s", epoch, status, body)
		}
	}
	redis, err := queue.Connect(t.Context(), server.URL(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	s.until("all are on the queue", func() bool {
		counts, err := redis.ReadCounts("example")
		if err != nil {
			t.Fatal(err)
		}
		pending := 0
		for _, c := range counts {
			pending += c.Pending
		}
		return pending == 3
	})
	s.end()
}

// TestServeManage: a namespace that is added or disabled at one replica is so at the others, and
// after a restart.
func TestServeManage(t *testing.T) {
	t.Parallel()
	a := newServed(t, ", manage: {token_file: manage}", "token_file: token")
	a.write("manage", "manager")
	one, two := a.serve(), a.serve()
	added := fmt.Sprintf(`{"name":"other","root":"5/%s","ciphersuite":1}`, digestLike(5))
	for _, c := range []struct {
		token, method, path, body string
		want                      int
	}{
		{"first", http.MethodPost, "/namespaces", added, http.StatusUnauthorized},
		{"manager", http.MethodPost, "/namespaces", added, http.StatusCreated},
		{"manager", http.MethodPost, "/namespaces", added, http.StatusConflict},
		{"manager", http.MethodPost, "/namespaces", strings.Replace(added, "other", "example", 1), http.StatusConflict},
		{"first", http.MethodPost, "/namespaces/other/audits", postOf(5, digestLike(5)), http.StatusUnauthorized},
		{"manager", http.MethodPost, "/namespaces/other/audits", postOf(5, digestLike(5)), http.StatusOK},
		{"first", http.MethodPost, "/namespaces/example/audits", postOf(5, digestLike(5)), http.StatusOK},
		{"first", http.MethodPatch, "/namespaces/example", `{"status":"Disabled"}`, http.StatusUnauthorized},
		{"manager", http.MethodPatch, "/namespaces/example", `{"status":"Disabled"}`, http.StatusOK},
		{"first", http.MethodPost, "/namespaces/example/audits", postOf(6, digestLike(6)), http.StatusBadRequest},
	} {
		if status, body := one.send(c.token, c.method, c.path, c.body); status != c.want {
			t.Errorf("%s %s as %s: %d %s, want %d", c.method, c.path, c.token, status, body, c.want)
		}
	}
	checkManaged := func(s *served) {
		t.Helper()
		if status, body := s.get(s.api, "/namespaces/example/audits/5"); status != http.StatusOK {
			t.Errorf("what was signed: %d %s", status, body)
		}
		if status, body := s.send("manager", http.MethodPost, "/namespaces/other/audits", postOf(6, digestLike(6))); status != http.StatusOK {
			t.Errorf("the next epoch: %d %s", status, body)
		}
	}
	two.until("the other replica knows", func() bool {
		status, _ := two.get(two.api, "/namespaces/other")
		disabled, _ := two.post("first", 6, digestLike(6))
		return status == http.StatusOK && disabled == http.StatusBadRequest
	})
	checkManaged(two)
	a.write("audit/_ktaudit/namespaces/damaged.json", "x") // which costs no other
	three := a.serve()
	checkManaged(three)
	for _, s := range []*served{one, two, three} {
		s.end()
	}
}

// TestServeRefuses: what cannot work is said at the start.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, want string }{
		{"no serve", "audit_store: ./audit\nnamespaces: [{namespace: a, log_directory: ./log}]\n", "does not say where to serve"},
		{"no keys", "audit_store: ./audit\nserve: {listen: ':1'}\nnamespaces: [{namespace: a, log_directory: ./log, signing: {}}]\n", "namespace a: it has signing, and there is no key"},
		{"an open key", "audit_store: ./audit\nserve: {listen: ':1', keys: {file: open.key}}\nnamespaces: [{namespace: a, log_directory: ./log}]\n", "serve.keys[0]: open.key can be read or written by other users"},
		{"no token", "audit_store: ./audit\nserve: {listen: ':1', keys: {file: good.key}}\nnamespaces: [{namespace: a, log_directory: ./log, signing: {token_file: none}}]\n", "namespace a: signing: token_file: open none"},
		{"no CA", "audit_store: ./audit\nserve: {listen: ':1', keys: {file: good.key}, certificate: good.key, certificate_key: good.key}\nnamespaces: [{namespace: a, log_directory: ./log, signing: {client_ca: good.key}}]\n", "namespace a: signing: good.key"},
		{"no certificate", "audit_store: ./audit\nserve: {listen: ':1', certificate: good.key, certificate_key: good.key}\nnamespaces: [{namespace: a, log_directory: ./log}]\n", "serve.certificate: tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "1")
			a.write("ktaudit.yaml", c.config)
			a.write("good.key", strings.Repeat("ab", 32))
			a.write("open.key", strings.Repeat("ab", 32))
			if err := os.Chmod(filepath.Join(a.dir, "open.key"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := a.command("serve", "--config", "ktaudit.yaml")
			cmd.Env = environment(a.dir)
			out, err := cmd.CombinedOutput()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != exitFailed || !strings.Contains(string(out), c.want) {
				t.Errorf("%v, want %q:\n%s", err, c.want, out)
			}
		})
	}
}
