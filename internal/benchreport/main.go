// Command benchreport measures ktaudit, for the most part beside akd, and writes tables, a plot and
// the machine's description into a document.
//
// scripts/bench builds the programs and runs it. It simulates epochs, lets the programs verify the
// same files in turns, each run in a process of its own, and takes medians; then it audits logs of
// many epochs from end to end. Beside the times it gives the floor: the time that the hash kernel
// alone would need for the hashes that such an epoch requires.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// settings are the flags.
type settings struct {
	ktaudit   string
	oracle    string
	oracleBy  string
	rows      []string // names of parts
	directory uint64
	document  string
	plot      string
	volume
}

// volume is how much is measured. Sizes are leaves inserted in an epoch.
type volume struct {
	runs         int
	longRuns     int // of what takes minutes
	sizes        []int
	experimental []int
	elements     []int
	floorTime    time.Duration
	smallEpochs  int
	scaleEpochs  int // at most smallEpochs, whose log they share
	scaleWorkers []int
	idle         time.Duration // for which workers without epochs are watched
	farEpochs    int
	farInserted  int
}

var (
	full = volume{
		runs: 5, longRuns: 3,
		sizes: []int{20, 300, 3000, 30_000, 300_000}, experimental: []int{30_000, 300_000},
		elements:  []int{440, 5_200, 66_000, 610_000}, // ten thousand to eight million elements
		floorTime: time.Second, smallEpochs: 20_000, scaleEpochs: 10_000, scaleWorkers: []int{1, 2, 4, 8}, idle: 5 * time.Second,
		farEpochs: 30, farInserted: 55_000,
	}
	short = volume{
		runs: 1, longRuns: 1,
		sizes: []int{20, 300, 3000}, experimental: []int{300}, elements: []int{100, 1000},
		floorTime: 100 * time.Millisecond, smallEpochs: 100, scaleEpochs: 50, scaleWorkers: []int{1, 2}, idle: 200 * time.Millisecond,
		farEpochs: 2, farInserted: 3000,
	}
)

// part is a part of the document, with one or several tables.
type part struct {
	name    string // for -rows and the marks
	title   string
	measure func(context.Context, *bench) (markdown string, err error)
}

// parts are in the order in which they are measured.
func parts() []part {
	return []part{
		{"start", "Start-up", measureStart},
		{"processes", "Whole processes beside akd", measureProcesses},
		{"experimental", "The configuration `experimental`", measureExperimental},
		{"inside", "Small epochs in a process", measureInside},
		{"elements", "Cost of an element", measureElements},
		{"kernel", "The kernel", measureKernel},
		{"small", "Small epochs from end to end", measureSmall},
		{"far", "Large epochs from a far store", measureFar},
		{"scale", "Workers beside one Redis", measureScale},
	}
}

// leftOutError says why a part could not be measured on this machine.
type leftOutError struct{ reason string }

func (e *leftOutError) Error() string { return e.reason }

// bench is one run of this program.
type bench struct {
	settings
	dir    string        // for what is simulated and measured; removed at the end
	epochs map[int]input // simulated, by the leaves inserted
	floors []floor       // empty until they are measured
	small  string        // folder of the log of small epochs, once it is simulated
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == insideCommand {
		err = repeatInside(ctx, os.Args[2:], os.Stdout)
	} else {
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchreport:", err)
		os.Exit(2)
	}
}

func parse(args []string) (settings, error) {
	s := settings{volume: full}
	if slices.Contains(args, "-short") {
		s.volume = short
	}
	flags := flag.NewFlagSet("benchreport", flag.ContinueOnError)
	flags.Bool("short", false, "measure little, to try this program")
	flags.StringVar(&s.ktaudit, "ktaudit", "", "the ktaudit to measure")
	flags.StringVar(&s.oracle, "oracle", "", "the akd-oracle to measure, for processes and inside")
	flags.StringVar(&s.oracleBy, "oracle-by", "", "the compiler that built akd-oracle, for the report")
	rows := flags.String("rows", strings.Join(partNames(), ","), "the parts to measure, comma separated")
	sizes := flags.String("sizes", joined(s.sizes), "leaves inserted in the epochs that are verified beside akd, comma separated")
	flags.Uint64Var(&s.directory, "directory", 1<<32, "keys in the directory that the epochs belong to")
	flags.IntVar(&s.runs, "runs", s.runs, "runs of each program on each file")
	flags.IntVar(&s.longRuns, "long-runs", s.longRuns, "the same for audits of many epochs, which take minutes")
	flags.StringVar(&s.document, "document", "docs/performance.md", "the document whose parts are rewritten")
	flags.StringVar(&s.plot, "plot", "docs/performance.svg", "the plot; the document refers to it by its base name")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.sizes = nil
	for field := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return s, fmt.Errorf("size %q is not a number of leaves", field)
		}
		s.sizes = append(s.sizes, n)
	}
	s.rows = strings.Split(*rows, ",")
	for _, name := range s.rows {
		if !slices.Contains(partNames(), name) {
			return s, fmt.Errorf("there are no rows %q, only %s", name, strings.Join(partNames(), ", "))
		}
	}
	if s.ktaudit == "" || s.runs < 1 || s.longRuns < 1 || flags.NArg() > 0 {
		return s, errors.New("want -ktaudit FILE, -runs and -long-runs of 1 or more and nothing else")
	}
	if s.oracle == "" && (slices.Contains(s.rows, "processes") || slices.Contains(s.rows, "inside")) {
		return s, errors.New("processes and inside want -oracle FILE")
	}
	return s, nil
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

func joined(numbers []int) string {
	var texts []string
	for _, n := range numbers {
		texts = append(texts, strconv.Itoa(n))
	}
	return strings.Join(texts, ",")
}

// run measures part after part, and writes each into the document when it is measured.
func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{settings: s, epochs: map[int]input{}}
	if b.dir, err = os.MkdirTemp("", "ktaudit-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	machine := thisMachine()
	for _, p := range parts() {
		if !slices.Contains(s.rows, p.name) {
			continue
		}
		about := about{machine: machine, busy: coresBusy(time.Second), date: time.Now().UTC()}
		text, err := p.measure(ctx, b)
		var leftOut *leftOutError
		if errors.As(err, &leftOut) {
			fmt.Printf("### %s\n\nLeft out, so that the document keeps what it has: %s.\n\n", p.title, leftOut.reason)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		text = fmt.Sprintf("### %s\n\n%s\n%s", p.title, text, about)
		fmt.Print(text, "\n")
		if err := rewriteDocument(s.document, p.name, text); err != nil {
			return err
		}
	}
	return nil
}

// about is where and when something was measured.
type about struct {
	machine string
	busy    float64 // cores that other work kept busy just before
	date    time.Time
}

func (a about) String() string {
	text := fmt.Sprintf("Measured on %s: %s.\n", a.date.Format(time.DateOnly), a.machine)
	if a.busy > 0.2 {
		text += fmt.Sprintf("**%.1f cores were busy with other work when this began, so these times say little.**\n", a.busy)
	}
	return text
}

// progress tells whoever watches what is being done.
func progress(format string, args ...any) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintf(os.Stderr, "benchreport: "+format+"\n", args...)
	}
}
