package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// namespace is the name of simulated logs.
	namespace = "simulated.key-transparency.v1"
	// lookEvery is how often verdicts are counted, which takes a fraction of a millisecond.
	lookEvery = 20 * time.Millisecond
)

// fleet are processes that run until they are told to stop. Its methods are for one goroutine.
type fleet struct {
	dir     string // of their output
	members []*member
	ended   chan *member // those that ended before they were told to
}

// member is one process.
type member struct {
	role   string
	cmd    *exec.Cmd
	output string // file
	exited chan struct{}
	err    error // once it has exited
}

func newFleet(dir string) *fleet { return &fleet{dir: dir, ended: make(chan *member, 64)} }

// start starts a process, on one core if cpu isn't negative and the machine has taskset.
func (f *fleet) start(ctx context.Context, role string, cpu int, argv ...string) error {
	if _, err := exec.LookPath("taskset"); err == nil && cpu >= 0 {
		argv = append([]string{"taskset", "-c", strconv.Itoa(cpu)}, argv...)
	}
	m := &member{role: role, cmd: command(ctx, nil, argv...), exited: make(chan struct{})}
	m.output = filepath.Join(f.dir, fmt.Sprintf("%s-%d.log", role, len(f.members)))
	file, err := os.Create(m.output)
	if err != nil {
		return err
	}
	defer file.Close()
	m.cmd.Stdout, m.cmd.Stderr = file, file
	if err := m.cmd.Start(); err != nil {
		return err
	}
	f.members = append(f.members, m)
	go func() {
		m.err = m.cmd.Wait()
		close(m.exited)
		f.ended <- m
	}()
	return nil
}

// stop tells all to stop, waits for them and returns the CPU time of each role together, and the
// most memory that one of it had. It is an error if one ended otherwise than with status 0.
func (f *fleet) stop() (map[string]usage, error) {
	for _, m := range f.members {
		_ = m.cmd.Process.Signal(syscall.SIGTERM) // which one that has ended does not get, and that shows below
	}
	used := map[string]usage{}
	var errs []error
	for _, m := range f.members {
		<-m.exited
		if m.err != nil {
			errs = append(errs, m.failure())
		}
		of, total := usageOf(m.cmd.ProcessState, 0), used[m.role]
		total.cpu += of.cpu
		if of.memory > total.memory {
			total.memory, total.memoryAtMost = of.memory, of.memoryAtMost
		}
		used[m.role] = total
	}
	f.members = nil
	return used, errors.Join(errs...)
}

// kill ends what is left after an error.
func (f *fleet) kill() {
	for _, m := range f.members {
		_ = m.cmd.Process.Kill() // fails if it has ended
		<-m.exited
	}
}

// failure is an error with the end of what a process printed.
func (m *member) failure() error {
	text, _ := os.ReadFile(m.output) // without it there is still the status
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s: %s: %s", strings.Join(m.cmd.Args, " "), m.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-5):], "\n"))
}

// await waits until the epochs from 1 to last have a verdict in an audit store on disk, and returns
// when the first one was seen, how many there were then, and when all were.
func (f *fleet) await(ctx context.Context, store string, last int) (first time.Time, early int, end time.Time, err error) {
	verdicts := verdictCount{folder: filepath.Join(store, namespace, "verdicts"), last: last, full: map[int]bool{}}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	tooLong := time.After(2*time.Minute + time.Duration(last)*100*time.Millisecond)
	for {
		n, err := verdicts.look()
		switch now := time.Now(); {
		case err != nil:
			return first, early, end, err
		case n > 0 && first.IsZero():
			first, early = now, n
		}
		if n >= last {
			return first, early, time.Now(), nil
		}
		select {
		case <-look.C:
		case m := <-f.ended:
			return first, early, end, m.failure()
		case <-tooLong:
			return first, early, end, fmt.Errorf("%d of %d epochs have a verdict, and it takes too long", n, last)
		case <-ctx.Done():
			return first, early, end, ctx.Err()
		}
	}
}

// verdictCount counts the verdicts in the folder of an audit store.
type verdictCount struct {
	folder string
	last   int          // epoch; the first is 1
	full   map[int]bool // shards that hold all they ever will
}

// look counts. It reads no shard again that was full.
func (v *verdictCount) look() (n int, err error) {
	for shard := range v.last/verdict.EpochsPerShard + 1 {
		want := v.size(shard)
		if v.full[shard] {
			n += want
			continue
		}
		names, err := os.ReadDir(filepath.Join(v.folder, fmt.Sprintf("%09d", shard)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		found := 0
		for _, name := range names {
			if strings.HasSuffix(name.Name(), ".json") {
				found++
			}
		}
		v.full[shard] = found >= want
		n += found
	}
	return n, nil
}

// size is how many epochs a shard has.
func (v *verdictCount) size(shard int) int {
	from, to := max(1, shard*verdict.EpochsPerShard), min(v.last, (shard+1)*verdict.EpochsPerShard-1)
	return to - from + 1
}
