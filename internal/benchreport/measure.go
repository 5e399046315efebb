package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// input is one simulated epoch.
type input struct {
	file      string
	bytes     int64
	inserted  int
	unchanged int
}

func (in input) elements() int { return in.inserted + in.unchanged }

// usage is the time and memory of a process.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	// memory is the peak resident set in bytes; memoryAtMost says that it is only known to be no
	// larger.
	memory       int64
	memoryAtMost bool
}

func (u usage) memoryText() string {
	switch {
	case u.memory == 0:
		return ""
	case u.memoryAtMost:
		return "≤ " + size64(u.memory)
	}
	return size64(u.memory)
}

// epoch is a simulated epoch of a size, made once.
func (b *bench) epoch(ctx context.Context, inserted int) (input, error) {
	if in, ok := b.epochs[inserted]; ok {
		return in, nil
	}
	in, err := b.simulate(ctx, inserted)
	if err == nil {
		b.epochs[inserted] = in
	}
	return in, err
}

// simulate writes the log of one epoch and finds its batch. Flags are added to the command.
func (b *bench) simulate(ctx context.Context, inserted int, flags ...string) (input, error) {
	log, err := os.MkdirTemp(b.dir, strconv.Itoa(inserted)+"-")
	if err != nil {
		return input{}, err
	}
	progress("simulating an epoch of %d insertions", inserted)
	made, err := b.simulateLog(ctx, log, append([]string{"--epochs", "1", "--insertions", strconv.Itoa(inserted),
		"--directory-size", strconv.FormatUint(b.directory, 10)}, flags...)...)
	if err != nil {
		return input{}, err
	}
	err = filepath.WalkDir(log, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			made.file = path
		}
		return err
	})
	if err == nil && made.file == "" {
		err = fmt.Errorf("simulate wrote no batch")
	}
	return made, err
}

// simulateLog writes a log and counts what is in all its epochs.
func (b *bench) simulateLog(ctx context.Context, folder string, flags ...string) (input, error) {
	out, err := command(ctx, nil, append([]string{b.ktaudit, "simulate", "--json", "--log-directory", folder}, flags...)...).Output()
	if err != nil {
		return input{}, fmt.Errorf("simulate %s: %w", strings.Join(flags, " "), err)
	}
	var said struct {
		Inserted, Unchanged int
		Bytes               int64
	}
	err = json.Unmarshal(out, &said)
	return input{bytes: said.Bytes, inserted: said.Inserted, unchanged: said.Unchanged}, err
}

// inTurns makes each measurement so many times, all once before any is repeated, so that all suffer
// when the machine is slow. It returns the results of each.
func inTurns[T any](ctx context.Context, what string, runs int, measurements ...func(context.Context) (T, error)) ([][]T, error) {
	results := make([][]T, len(measurements))
	for n := range runs {
		progress("%s, run %d of %d", what, n+1, runs)
		for i, measure := range measurements {
			result, err := measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			results[i] = append(results[i], result)
		}
	}
	return results, nil
}

// running is a measurement of a program that ends.
func running(env []string, argv ...string) func(context.Context) (usage, error) {
	return func(ctx context.Context) (usage, error) { return process(ctx, env, argv...) }
}

// process runs a program, which must succeed: the usage of a run that failed means nothing.
func process(ctx context.Context, env []string, argv ...string) (usage, error) {
	cmd := command(ctx, env, argv...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, output.Bytes())
	}
	return usageOf(cmd.ProcessState, wall), nil
}

func usageOf(ended *os.ProcessState, wall time.Duration) usage {
	used := usage{wall: wall, cpu: ended.UserTime() + ended.SystemTime()}
	used.memory, used.memoryAtMost = peakMemory(ended)
	return used
}

// command is a program in the environment of this one, without what would change what is measured:
// settings of ktaudit and of Go's garbage collector.
func command(ctx context.Context, env []string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "KTAUDIT_") || name == "GOGC" || name == "GOMEMLIMIT" || name == "GODEBUG" || name == "GOMAXPROCS"
	}), env...)
	return cmd
}

// medians are the medians of each figure.
func medians(all []usage) usage {
	m := middle(all, func(u usage) int64 { return u.memory })
	m.wall = middle(all, func(u usage) time.Duration { return u.wall }).wall
	m.cpu = middle(all, func(u usage) time.Duration { return u.cpu }).cpu
	return m
}

// middle is the one of all that is the median by a figure.
func middle[T any, N cmp.Ordered](all []T, by func(T) N) T {
	return slices.SortedFunc(slices.Values(all), func(a, b T) int { return cmp.Compare(by(a), by(b)) })[len(all)/2]
}

// syncDisk has everything written that the system has taken and not written yet.
func syncDisk(ctx context.Context) error {
	path, err := exec.LookPath("sync")
	if err != nil {
		return nil // the first figure may suffer
	}
	return exec.CommandContext(ctx, path).Run()
}
