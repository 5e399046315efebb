package deploy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

// What the images run before the command that they are given; of others the command is all there is.
var entrypoints = map[string]string{
	"ktaudit":           "ktaudit",
	"versity/versitygw": "versitygw",
	"prom/prometheus":   "prometheus",
	"prom/alertmanager": "alertmanager",
}

// stack runs the services of a compose file as processes of this machine. Each container has an
// address of its own in 127.0.0.0/8, so that ports are those of the file, and a folder for what is
// mounted. Nothing else is changed in command lines and files.
type stack struct {
	project    *types.Project
	folder     string
	containers []*container
	replaced   *strings.Replacer
}

type container struct {
	stack   *stack
	service types.ServiceConfig
	address string
	root    string
	log     string
	exited  chan struct{}
}

// startStack starts all services but some, each once those that it depends on are healthy. Of
// replaced every second is put in place of the one before, in the files that are mounted.
func startStack(t *testing.T, project *types.Project, without []string, replaced ...string) *stack {
	t.Helper()
	s := &stack{project: project, folder: t.TempDir(), replaced: strings.NewReplacer(replaced...)}
	network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(255))
	for _, name := range s.project.ServiceNames() {
		service := s.project.Services[name]
		for range service.GetScale() {
			n := len(s.containers) + 1
			s.containers = append(s.containers, &container{
				stack: s, service: service, address: fmt.Sprint(network, n), exited: make(chan struct{}),
				root: filepath.Join(s.folder, fmt.Sprint(name, "-", n)), log: filepath.Join(s.folder, fmt.Sprint(name, "-", n, ".log")),
			})
		}
	}
	waiting := slices.DeleteFunc(slices.Clone(s.containers), func(c *container) bool { return slices.Contains(without, c.service.Name) })
	for len(waiting) > 0 {
		before := len(waiting)
		waiting = slices.DeleteFunc(waiting, func(c *container) bool {
			for name := range c.service.DependsOn {
				if slices.ContainsFunc(waiting, func(w *container) bool { return w.service.Name == name }) {
					return false
				}
			}
			for name := range c.service.DependsOn {
				s.healthy(t, name)
			}
			c.start(t)
			return true
		})
		if len(waiting) == before {
			t.Fatal("services depend on each other")
		}
	}
	return s
}

// of returns the containers of a service.
func (s *stack) of(name string) []*container {
	return slices.DeleteFunc(slices.Clone(s.containers), func(c *container) bool { return c.service.Name != name })
}

// url is where a service can be reached that publishes a port.
func (s *stack) url(name string) string {
	c := s.of(name)[0]
	return fmt.Sprintf("http://%s:%d", c.address, c.service.Ports[0].Target)
}

func (c *container) start(t *testing.T) {
	t.Helper()
	if l, err := net.Listen("tcp", c.address+":0"); err != nil {
		t.Fatalf("this machine has no address %s: %v", c.address, err)
	} else {
		l.Close()
	}
	c.mount(t)
	program, args := c.commandLine(t)
	log, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := c.command(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stopping sync.Once
	go func() {
		err := cmd.Wait()
		if ctx.Err() == nil {
			stopping.Do(func() { fmt.Fprintf(log, "\n%s ended: %v\n", c.service.Name, err) })
		}
		log.Close()
		close(c.exited)
	}()
	t.Cleanup(func() {
		stop()
		<-c.exited
		if t.Failed() {
			text, _ := os.ReadFile(c.log)
			t.Logf("%s: %s\n%s", c.service.Name, cmd, text[max(0, len(text)-3000):])
		}
	})
}

// command is a program that runs in the container: with its environment, and in its folder.
func (c *container) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.root
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.root, "TMPDIR=" + c.root}
	for name, value := range c.service.Environment {
		if value != nil {
			cmd.Env = append(cmd.Env, name+"="+c.rewrite(*value))
		}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (c *container) commandLine(t *testing.T) (program string, args []string) {
	t.Helper()
	image, _, _ := strings.Cut(c.service.Image, ":")
	args = slices.Clone(c.service.Command)
	if name, ok := entrypoints[image]; ok {
		program = name
	} else {
		program, args = args[0], args[1:]
	}
	for i, arg := range args {
		args[i] = c.rewrite(arg)
	}
	if program == "redis-server" { // which listens on all addresses otherwise
		args = append(args, "--bind", c.address)
	}
	if program == "ktaudit" {
		return ktauditProgram(t), args
	}
	return testservers.Program(t, program), args
}

// mount puts what is mounted where the container finds it.
func (c *container) mount(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(c.root, 0o755))
	put := func(source, target string) {
		must(filepath.WalkDir(source, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			to := filepath.Join(c.root, target, strings.TrimPrefix(path, source))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			return os.WriteFile(to, []byte(c.rewrite(c.stack.replaced.Replace(string(text)))), 0o600)
		}))
	}
	for _, config := range c.service.Configs {
		put(c.stack.project.Configs[config.Source].File, config.Target)
	}
	for _, volume := range c.service.Volumes {
		if volume.Type == types.VolumeTypeBind {
			put(volume.Source, volume.Target)
		} else {
			must(os.MkdirAll(filepath.Join(c.root, volume.Target), 0o755))
		}
	}
}

var (
	discovery = regexp.MustCompile(`dns_sd_configs:\s+- \{names: \[([^\]]*)\], type: A, port: (\d+)[^}]*\}`)
	portAlone = regexp.MustCompile(`^:\d+$`)
)

// rewrite puts addresses for the names of services, and the container's folder before paths.
func (c *container) rewrite(text string) string {
	text = discovery.ReplaceAllStringFunc(text, func(match string) string {
		var targets []string
		found := discovery.FindStringSubmatch(match)
		for name := range strings.SplitSeq(found[1], ", ") {
			for _, other := range c.stack.of(name) {
				targets = append(targets, fmt.Sprintf("%q", other.address+":"+found[2]))
			}
		}
		return "static_configs: [{targets: [" + strings.Join(targets, ", ") + "]}]"
	})
	for _, other := range c.stack.containers {
		text = regexp.MustCompile(`\b`+other.service.Name+`:(\d)`).ReplaceAllString(text, other.address+":$1")
	}
	for _, own := range []string{"0.0.0.0:", "127.0.0.1:"} {
		text = strings.ReplaceAll(text, own, c.address+":")
	}
	if portAlone.MatchString(text) {
		return c.address + text
	}
	for _, target := range c.targets() {
		top := "/" + strings.Split(target, "/")[1]
		text = regexp.MustCompile(`(^|[\s=])`+top+`(/|$)`).ReplaceAllString(text, "${1}"+c.root+top+"$2")
	}
	return text
}

func (c *container) targets() []string {
	var all []string
	for _, config := range c.service.Configs {
		all = append(all, config.Target)
	}
	for _, volume := range c.service.Volumes {
		all = append(all, volume.Target)
	}
	return all
}

// healthy waits until all containers of a service say that they are healthy.
func (s *stack) healthy(t *testing.T, name string) {
	t.Helper()
	for _, c := range s.of(name) {
		await(t, c.service.Name+" is healthy", func() error { return c.isHealthy(t) })
	}
}

func (c *container) isHealthy(t *testing.T) error {
	test := c.service.HealthCheck.Test
	if test[0] != "CMD" {
		return fmt.Errorf("test is %q", test)
	}
	program, args := test[1], slices.Clone(test[2:])
	for i, arg := range args {
		args[i] = c.rewrite(arg)
	}
	switch program {
	case "ktaudit":
		program = ktauditProgram(t)
	case "redis-cli":
		program, args = testservers.Program(t, program), append([]string{"-h", c.address}, args...)
	case "wget": // of busybox, in versitygw's image
		return get(args[len(args)-1], io.Discard)
	}
	out, err := c.command(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// get reads what is at an address.
func get(url string, to io.Writer) error {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	_, err = io.Copy(to, response.Body)
	return err
}

// await asks again and again until nothing is wrong any more.
func await(t *testing.T, what string, wrong func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := wrong()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// ktauditProgram builds the program, once.
func ktauditProgram(t *testing.T) string {
	t.Helper()
	path, err := builtProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builtProgram = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("KTAUDIT_PROGRAM"); path != "" {
		return path, nil
	}
	folder, err := os.MkdirTemp("", "ktaudit-program-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "ktaudit")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "../cmd/ktaudit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as scripts/test has built it before
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})
