package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/validator"
)

const (
	// smallBatch is up to what size a batch is measured in a process, too, beside akd. For larger
	// ones the start of a process does not matter.
	smallBatch = 4 << 20
	// insideCommand makes this program verify a file again and again: in a process of its own,
	// whose garbage collector has nothing else to do.
	insideCommand = "inside"
)

// repeatInside verifies a file so many times after a first time, and prints the means of wall and
// CPU time in nanoseconds. Means, as the garbage collector works for many at once.
func repeatInside(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("%s wants FILE TIMES", insideCommand)
	}
	times, err := strconv.Atoi(args[1])
	if err != nil || times < 1 {
		return fmt.Errorf("%q is no number of times", args[1])
	}
	if err := verifyInside(ctx, args[0]); err != nil {
		return err
	}
	start, startCPU := time.Now(), ownCPU()
	for range times {
		if err := verifyInside(ctx, args[0]); err != nil {
			return err
		}
	}
	wall, cpu := time.Since(start), ownCPU()-startCPU
	_, err = fmt.Fprintln(out, per(wall, times).Nanoseconds(), per(cpu, times).Nanoseconds())
	return err
}

// verifyInside verifies the batch in a file, whose path ends with its name.
func verifyInside(ctx context.Context, file string) error {
	parts := strings.Split(filepath.ToSlash(file), "/")
	name, err := validator.ParseName(strings.Join(parts[max(0, len(parts)-3):], "/"))
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	result, err := validator.Verify(ctx, name, f, validator.WhatsAppV1(), validator.Options{})
	if err == nil && result.Outcome != validator.Verified {
		err = fmt.Errorf("epoch %d was rejected: %s: %s", name.Epoch, result.Reason, result.Detail)
	}
	return err
}

// runInside measures ktaudit's verifier in a process that has verified before.
func runInside(env []string, file string, times int) func(context.Context) (usage, error) {
	return func(ctx context.Context) (usage, error) {
		self, err := os.Executable()
		if err != nil {
			return usage{}, err
		}
		out, err := command(ctx, env, self, insideCommand, file, strconv.Itoa(times)).Output()
		if err != nil {
			return usage{}, fmt.Errorf("verifying %s: %w", file, err)
		}
		var used usage
		_, err = fmt.Sscan(string(out), &used.wall, &used.cpu)
		return used, err
	}
}

// runOracle measures akd on one file many times in a process: by what it says of the time, which
// leaves out reading and decoding, and by the process's CPU time, which does not.
func runOracle(oracle, file string, times int) func(context.Context) (usage, error) {
	return func(ctx context.Context) (usage, error) {
		args := []string{oracle, "--timing"}
		for range times {
			args = append(args, file)
		}
		cmd := command(ctx, nil, args...)
		out, err := cmd.Output()
		if err != nil {
			return usage{}, fmt.Errorf("%s: %w", oracle, err)
		}
		wall, err := oracleMean(string(out))
		return usage{wall: wall, cpu: per(usageOf(cmd.ProcessState, 0).cpu, times)}, err
	}
}

// oracleMean is the mean of the times that the oracle printed.
func oracleMean(out string) (time.Duration, error) {
	var sum float64
	n := 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) != 5 {
			return 0, fmt.Errorf("the oracle said %q, want five fields", lines.Text())
		}
		ms, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			return 0, err
		}
		sum += ms
	}
	if n == 0 {
		return 0, fmt.Errorf("the oracle said nothing")
	}
	return time.Duration(sum / float64(n) * float64(time.Millisecond)), nil
}

// measureInside gives the time of a verification without the start of a process, for small batches.
func measureInside(ctx context.Context, b *bench) (string, error) {
	var sizes []size
	for _, inserted := range b.sizes {
		in, err := b.epoch(ctx, inserted)
		if err != nil {
			return "", err
		}
		if in.bytes > smallBatch {
			continue
		}
		times := int(max(5, min(200, smallBatch/in.bytes)))
		if b.runs == 1 {
			times = 2
		}
		list := contenders(b.settings)
		var measurements []func(context.Context) (usage, error)
		for _, c := range list {
			if c.path == "" {
				measurements = append(measurements, runOracle(b.oracle, in.file, times))
			} else {
				measurements = append(measurements, runInside([]string{lanes.Environment + "=" + c.path}, in.file, times))
			}
		}
		all, err := inTurns(ctx, fmt.Sprintf("%d insertions in a process", inserted), b.runs, measurements...)
		if err != nil {
			return "", err
		}
		z := size{input: in}
		for i, c := range list {
			z.rows = append(z.rows, usageRow{contender: c, usage: medians(all[i])})
		}
		sizes = append(sizes, z)
	}
	return insideTable(sizes, b.runs), nil
}

func insideTable(sizes []size, runs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "In a process that has been running, without its start: means of many verifications in a process, and of those %s. "+
		"akd's time leaves out decoding, its CPU time and both of ktaudit do not.\n\n", medianOf(runs))
	head(&b, ">inserted", ">unchanged", "program", ">time", ">faster than akd", ">CPU", ">less than akd")
	for _, z := range sizes {
		for _, w := range z.rows {
			faster, less := "", ""
			if w.path != "" {
				faster, less = ratio(z.rows[0].wall, w.wall), ratio(z.rows[0].cpu, w.cpu)
			}
			row(&b, count(z.inserted), count(z.unchanged), w.label, duration(w.wall), faster, duration(w.cpu), less)
		}
	}
	return b.String()
}
