// Package testservers starts the real servers that ktaudit's tests need: redis-server, an S3 server
// (versitygw), an emulator of Azure's blob storage (azurite) and a witness of transparency logs
// (litewitness) among them, each on a free loopback port with a directory of its own. They can be
// stopped, killed and started again on the same port with the same data, which is how outages are
// tested.
//
// [Redis] and [S3] serve tests: the server ends with the test. On CI (CI=true) a missing program
// fails the test. Elsewhere it skips it, and so does -short, which is for a quick look. [NewRedis]
// and [NewS3] serve other programs and TestMain: they return errors, and the caller must call
// Close.
package testservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// a loaded two-core machine starts both servers in well under this
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	portAttempts = 10
)

// errExited says that the server ended before it answered, most often because another process took
// its port.
var errExited = errors.New("server exited before it was ready")

// missingError says that a program is not installed.
type missingError struct{ program string }

func (e *missingError) Error() string {
	return fmt.Sprintf("%s is not installed; `scripts/test --tools` says what would install it", e.program)
}

// server is one child process that keeps its port and its directory from one start to the next.
type server struct {
	binary string
	dir    string
	addr   string
	args   func(addr string) []string
	// asks, by the server's protocol, whether this very process answers
	ready func(ctx context.Context) error

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	output *bytes.Buffer // read only after exited
}

// Start runs the server again after Stop or Kill, on the same port with the same data, and returns
// once it answers. It does nothing if the server is running.
func (s *server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return nil
	}
	cmd := exec.Command(s.binary, s.args(s.addr)...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = endWithParent()
	output := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.binary, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit status says nothing that the output does not
		close(exited)
	}()
	s.cmd, s.exited, s.output = cmd, exited, output

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s on %s: %w: %s", s.binary, s.addr, errExited, strings.TrimSpace(output.String()))
		case <-ctx.Done():
			s.end(syscall.SIGKILL)
			return fmt.Errorf("%s on %s does not answer after %s: %w", s.binary, s.addr, startTimeout, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the server with SIGTERM, as an operator would, and waits for it. It does nothing if the
// server is not running.
func (s *server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGTERM)
}

// Kill ends the server with SIGKILL and waits for it. It does nothing if the server is not running.
func (s *server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGKILL)
}

// Close kills the server and removes its data.
func (s *server) Close() error {
	s.Kill()
	return os.RemoveAll(s.dir)
}

func (s *server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *server) end(signal syscall.Signal) {
	if !s.running() {
		return
	}
	_ = s.cmd.Process.Signal(signal) // fails only if it has just ended by itself
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

// startOnFreePort tries ports until the server could take one.
func (s *server) startOnFreePort() error {
	var err error
	for range portAttempts {
		if s.addr, err = freeAddress(); err != nil {
			return err
		}
		if err = s.Start(); !errors.Is(err, errExited) {
			return err
		}
	}
	return err
}

// freeAddress returns a loopback address nobody listens on. The port lies below the range that
// systems give to outgoing connections: otherwise, while a server is stopped, a client's connection
// could take its port, or even connect to itself.
func freeAddress() (string, error) {
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("no free loopback port: %w", err)
}

// Program is the path of a program that tests need beside servers. Where it is missing the test
// fails on CI and is skipped elsewhere.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := find(name)
	must(t, err)
	return path
}

// find looks for a program in PATH, in this repository's .tools, where scripts/test puts it, and
// where `go install` does.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, folder := range programFolders() {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return path, nil
		}
	}
	return "", &missingError{program}
}

var goEnvironment = sync.OnceValue(func() []string {
	out, err := exec.Command("go", "env", "GOMOD", "GOBIN", "GOPATH").Output()
	if err != nil {
		return []string{"", "", ""}
	}
	return strings.Split(string(out), "\n")
})

// moduleFolder is the root of this repository.
func moduleFolder() string { return filepath.Dir(goEnvironment()[0]) }

func programFolders() []string {
	lines := goEnvironment()
	folders := []string{filepath.Join(moduleFolder(), ".tools", "bin")}
	if lines[1] != "" {
		folders = append(folders, lines[1])
	}
	for _, path := range filepath.SplitList(lines[2]) {
		folders = append(folders, filepath.Join(path, "bin"))
	}
	return folders
}

// onCI says that nothing may be skipped.
func onCI() bool { return os.Getenv("CI") == "true" }

// leaveOutIfShort skips a test that needs a server when it runs with -short, but not on CI.
func leaveOutIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() && !onCI() {
		t.Skip("needs a server: left out with -short")
	}
}

// must ends the test for a server that could not be started: a program that is not installed may be
// missing on a developer's machine, but never on CI.
func must(t testing.TB, err error) {
	t.Helper()
	var missing *missingError
	switch {
	case err == nil:
	case errors.As(err, &missing) && !onCI():
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// closeWith closes the server when the test ends.
func (s *server) closeWith(t testing.TB) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
