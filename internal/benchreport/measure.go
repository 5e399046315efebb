package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/validator"
)

// input is one simulated epoch.
type input struct {
	file      string
	name      validator.Name
	bytes     int64
	inserted  int
	unchanged int
}

func (in input) elements() int { return in.inserted + in.unchanged }

// contender is a program to measure.
type contender struct {
	label string
	path  string // hash path of a ktaudit, empty for akd
	argv  []string
	env   []string
}

// contenders are akd, ktaudit with its default hash path, and ktaudit with each other path of this
// machine.
func contenders(s settings) []contender {
	list := []contender{{label: "akd 0.13", argv: []string{s.oracle}}}
	own := lanes.Path()
	list = append(list, contender{label: "ktaudit (" + own + ")", path: own, argv: []string{s.ktaudit, "verify"}})
	for _, path := range lanes.Paths() {
		if path != own {
			list = append(list, contender{
				label: "ktaudit, " + path + " forced", path: path,
				argv: []string{s.ktaudit, "verify"}, env: []string{lanes.Environment + "=" + path},
			})
		}
	}
	return list
}

// usage is the time and memory of a process.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	// memory is the peak resident set in bytes; memoryAtMost says that it is only known to be no
	// larger.
	memory       int64
	memoryAtMost bool
}

// row is a contender's usage on one epoch.
type row struct {
	contender
	usage
	// inside is the time of one verification in a process that has done others; 0 if it was not
	// measured.
	inside time.Duration
}

// size is everything measured on one epoch.
type size struct {
	input
	rows []row
	// together is the wall time of two processes of the second contender on the same epoch at once.
	together time.Duration
}

// simulate writes the log of one epoch and finds its batch.
func simulate(ctx context.Context, s settings, dir string, inserted int) (input, error) {
	log := filepath.Join(dir, strconv.Itoa(inserted))
	if err := os.Mkdir(log, 0o755); err != nil {
		return input{}, err
	}
	progress("simulating an epoch of %d insertions", inserted)
	_, err := process(ctx, nil, s.ktaudit, "simulate", "--log-directory", log, "--epochs", "1", "--insertions",
		strconv.Itoa(inserted), "--directory-size", strconv.FormatUint(s.directory, 10), "--compression", "none")
	if err != nil {
		return input{}, err
	}
	var in input
	err = filepath.WalkDir(log, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(log, path)
		if err != nil {
			return err
		}
		if in.name, err = validator.ParseName(filepath.ToSlash(name)); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		in.file, in.bytes, in.inserted = path, info.Size(), inserted
		return nil
	})
	if err == nil && in.file == "" {
		err = fmt.Errorf("simulate wrote no batch")
	}
	return in, err
}

// measureSize lets the contenders verify an epoch in turns, so that all suffer when the machine is
// slow.
func measureSize(ctx context.Context, s settings, in input) (size, error) {
	list := contenders(s)
	taken := make([][]usage, len(list))
	var together []usage
	for n := range s.runs {
		progress("%d insertions, run %d of %d", in.inserted, n+1, s.runs)
		for i, c := range list {
			used, err := process(ctx, c.env, append(slices.Clone(c.argv), in.file)...)
			if err != nil {
				return size{}, err
			}
			taken[i] = append(taken[i], used)
		}
		both, err := twoAtOnce(ctx, append(slices.Clone(list[1].argv), in.file)...)
		if err != nil {
			return size{}, err
		}
		together = append(together, usage{wall: both})
	}
	measured := size{input: in, together: medians(together).wall}
	for i, c := range list {
		measured.rows = append(measured.rows, row{contender: c, usage: medians(taken[i])})
	}
	return measured, nil
}

// twoAtOnce runs a program twice at the same time and returns when both are done.
func twoAtOnce(ctx context.Context, argv ...string) (time.Duration, error) {
	start := time.Now()
	other := make(chan error, 1)
	go func() {
		_, err := process(ctx, nil, argv...)
		other <- err
	}()
	_, err := process(ctx, nil, argv...)
	if otherErr := <-other; err == nil {
		err = otherErr
	}
	return time.Since(start), err
}

// process runs a program, which must succeed: the usage of a run that failed means nothing.
func process(ctx context.Context, env []string, argv ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, output.Bytes())
	}
	used := usage{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	used.memory, used.memoryAtMost = peakMemory(cmd.ProcessState)
	return used, nil
}

// medians are the medians of each figure.
func medians(all []usage) usage {
	middle := func(less func(a, b usage) int) usage {
		return slices.SortedFunc(slices.Values(all), less)[len(all)/2]
	}
	m := middle(func(a, b usage) int { return int(a.memory - b.memory) })
	m.wall = middle(func(a, b usage) int { return int(a.wall - b.wall) }).wall
	m.cpu = middle(func(a, b usage) int { return int(a.cpu - b.cpu) }).cpu
	return m
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "benchreport: "+format+"\n", args...)
}
