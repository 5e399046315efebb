package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/queue"
)

const chaosNamespace = "chaos.key-transparency.v1"

// chaos is one audit that is interfered with: commands that all see the same settings, and a look
// at what they write.
type chaos struct {
	t    *testing.T
	dir  string   // where commands run
	env  []string // what they see
	logs string   // what workers and schedulers say; kept by go test -artifacts

	verdicts *verdictWatch
}

// newChaos takes the settings as name=value, and the folder where the audit store's objects are,
// below the working directory if it is not a path from the root.
func newChaos(t *testing.T, store string, settings ...string) *chaos {
	t.Helper()
	c := &chaos{t: t, dir: t.TempDir(), logs: t.ArtifactDir()}
	if !filepath.IsAbs(store) {
		store = filepath.Join(c.dir, store)
	}
	c.verdicts = newVerdictWatch(t, filepath.Join(store, chaosNamespace, "verdicts"))
	c.env = append(append(environment(c.dir), "KTAUDIT_NAMESPACE="+chaosNamespace), settings...)
	return c
}

func (c *chaos) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(binDir, "ktaudit"), args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

// ktaudit runs a command that must exit with 0, unless another status is given, and reads its JSON
// into result.
func (c *chaos) ktaudit(result any, args ...string) { c.t.Helper(); c.ktauditExits(0, result, args...) }

func (c *chaos) ktauditExits(status int, result any, args ...string) {
	c.t.Helper()
	var stderr strings.Builder
	cmd := c.command(append(args, "--json")...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		c.t.Fatalf("ktaudit %q: %v, want exit status %d\n%s%s", args, err, status, out, stderr.String())
	}
	if result != nil {
		if err := json.Unmarshal(out, result); err != nil {
			c.t.Fatalf("ktaudit %q prints %q: %v", args, out, err)
		}
	}
}

func (c *chaos) enqueueAgain() (counts queue.EnqueueCounts) {
	c.t.Helper()
	c.ktaudit(&counts, "enqueue", "--from", "1", "--to", fmt.Sprint(*chaosEpochs))
	return counts
}

// enqueue enqueues all epochs and wants to be told how many were new and how many have a verdict.
func (c *chaos) enqueue(enqueued, judged uint64) {
	c.t.Helper()
	if got, want := c.enqueueAgain(), (queue.EnqueueCounts{Enqueued: enqueued, AlreadyJudged: judged}); got != want {
		c.t.Errorf("enqueue counts %+v, want %+v", got, want)
	}
}

// process is a worker or a scheduler that may be killed at any time, and started again.
type process struct {
	c    *chaos
	name string // of its log
	args []string
	env  []string

	cmd     *exec.Cmd
	began   time.Time
	started <-chan struct{} // closed when cmd has said that it has started
	exited  chan struct{}   // closed when cmd has ended, with err
	err     error
}

// start starts a process, whose log has a name of its own.
func (c *chaos) start(name string, args ...string) *process {
	c.t.Helper()
	p := &process{c: c, name: name, args: args}
	p.start()
	return p
}

func (p *process) start() {
	p.c.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.c.logs, p.name+".log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		p.c.t.Fatal(err)
	}
	cmd := p.c.command(p.args...)
	cmd.Env = append(cmd.Env, p.env...)
	started := make(chan struct{})
	// by way of a pipe: a limit on the size of files is not meant for the log
	cmd.Stderr = io.MultiWriter(log, &startWatch{said: started})
	if err := cmd.Start(); err != nil {
		p.c.t.Fatal(err)
	}
	exited := make(chan struct{})
	p.cmd, p.began, p.started, p.exited = cmd, time.Now(), started, exited
	go func() {
		p.err = errors.Join(cmd.Wait(), log.Close())
		close(exited)
	}()
}

// role is the command that the process runs.
func (p *process) role() string { return p.args[0] }

// startWatch waits for what a worker or a scheduler says once it has started. That is among its
// first lines.
type startWatch struct {
	seen []byte
	said chan struct{} // closed then; nil afterwards
}

func (w *startWatch) Write(b []byte) (int, error) {
	if w.said == nil {
		return len(b), nil
	}
	w.seen = append(w.seen, b...)
	if bytes.Contains(w.seen, []byte(" started\"")) {
		close(w.said)
		*w = startWatch{}
	}
	return len(b), nil
}

// ended reports whether the process has ended, by itself or killed.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended
	<-p.exited
}

// stop ends processes as an operator would. They must exit with 0. One that was started a moment
// ago may not have come so far as to take signals, and then ends as any program does; so it is told
// only when it has started.
func (c *chaos) stop(processes ...*process) {
	c.t.Helper()
	for _, p := range processes {
		select {
		case <-p.started:
		case <-p.exited:
		case <-time.After(time.Minute):
			c.t.Errorf("%s has not started within a minute; see %s", p.name, c.logs)
		}
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			c.t.Errorf("%s: %v", p.name, err)
		}
	}
	for _, p := range processes {
		if <-p.exited; p.err != nil {
			c.t.Errorf("%s, which was told to stop: %v; see %s", p.name, p.err, c.logs)
		}
	}
}

// checkLogs wants no process to have said that it is defective.
func (c *chaos) checkLogs() {
	c.t.Helper()
	for name, text := range c.readLogs() {
		for _, word := range []string{"panic", "internal error", "DATA RACE"} {
			if at := strings.Index(text, word); at >= 0 {
				c.t.Errorf("%s says: %.4000s", name, text[max(0, at-500):])
			}
		}
	}
}

// countInLogs says how often the processes have said a word.
func (c *chaos) countInLogs(word string) int {
	c.t.Helper()
	n := 0
	for _, text := range c.readLogs() {
		n += strings.Count(text, word)
	}
	return n
}

// explain shows the end of each log, for a test that failed where nobody keeps its artifacts.
func (c *chaos) explain(lines int) {
	c.t.Helper()
	for name, text := range c.readLogs() {
		all := strings.Split(strings.TrimSpace(text), "\n")
		for i := range all {
			all[i] = all[i][:min(len(all[i]), 500)]
		}
		c.t.Logf("the end of %s:\n%s", name, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
}

func (c *chaos) readLogs() map[string]string {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.logs, "*.log"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no logs in %s: %v", c.logs, err)
	}
	logs := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		logs[filepath.Base(file)] = string(text)
	}
	return logs
}
