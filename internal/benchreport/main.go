// Command benchreport compares ktaudit with akd and writes a report: tables, a plot and the
// machine's description.
//
// scripts/bench builds the programs and runs it. It makes one simulated epoch of each size, lets
// the programs verify the same file in turns, each run in a process of its own, and takes medians.
// Beside the times it gives the floor: the time that the hash kernel alone would need, on all
// cores, for the hashes that such an epoch requires.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	ktaudit   string
	oracle    string
	oracleBy  string
	sizes     []int
	directory uint64
	runs      int
	floorTime time.Duration
	document  string
	plot      string
}

func main() {
	s, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchreport:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "benchreport:", err)
		os.Exit(2)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	var sizes string
	flags := flag.NewFlagSet("benchreport", flag.ContinueOnError)
	flags.StringVar(&s.ktaudit, "ktaudit", "", "the ktaudit to measure")
	flags.StringVar(&s.oracle, "oracle", "", "the akd-oracle to measure")
	flags.StringVar(&s.oracleBy, "oracle-by", "", "the compiler that built akd-oracle, for the report")
	flags.StringVar(&sizes, "sizes", "20,300,3000,30000,300000", "leaves inserted in each epoch, comma separated")
	flags.Uint64Var(&s.directory, "directory", 1<<32, "keys in the directory that the epochs belong to")
	flags.IntVar(&s.runs, "runs", 5, "runs of each program on each file")
	flags.DurationVar(&s.floorTime, "floor-time", time.Second, "time spent measuring the kernel on each hash path")
	flags.StringVar(&s.document, "document", "docs/performance.md", "the document whose section is rewritten")
	flags.StringVar(&s.plot, "plot", "docs/performance.svg", "the plot; the document refers to it by its base name")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	for field := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return s, fmt.Errorf("size %q is not a number of leaves", field)
		}
		s.sizes = append(s.sizes, n)
	}
	if s.ktaudit == "" || s.oracle == "" || s.runs < 1 || flags.NArg() > 0 {
		return s, fmt.Errorf("want -ktaudit FILE -oracle FILE, -runs of 1 or more and nothing else")
	}
	return s, nil
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "ktaudit-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	r := report{machine: thisMachine(), busyCores: coresBusy(2 * time.Second), oracleBy: s.oracleBy, runs: s.runs, date: time.Now().UTC()}
	if r.busy() {
		progress("%.1f cores are busy with other work: expect times that say little", r.busyCores)
	}
	// Processes run before this one grows: Linux counts the parent's memory in a child's peak.
	for _, size := range s.sizes {
		in, err := simulate(ctx, s, dir, size)
		if err != nil {
			return fmt.Errorf("epoch of %d insertions: %w", size, err)
		}
		measured, err := measureSize(ctx, s, in)
		if err != nil {
			return fmt.Errorf("epoch of %d insertions: %w", size, err)
		}
		r.sizes = append(r.sizes, measured)
	}
	for i := range r.sizes {
		if err := measureInside(ctx, s, &r.sizes[i]); err != nil {
			return fmt.Errorf("in process, epoch of %d insertions: %w", r.sizes[i].input.inserted, err)
		}
	}
	r.floors, err = measureFloors(s.floorTime)
	if err != nil {
		return err
	}
	section := r.markdown()
	fmt.Print(section)
	if err := os.WriteFile(s.plot, r.svg(), 0o644); err != nil {
		return err
	}
	return rewriteSection(s.document, section, s.plot)
}
