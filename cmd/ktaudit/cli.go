package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/lanes"
)

// Exit statuses, the same for every command.
const (
	exitGood      = 0 // everything asked about was verified
	exitFound     = 1 // something was rejected or is missing
	exitNotJudged = 2 // usage, I/O, configuration, an interrupt or a defect: nothing follows about the log
)

// errFound ends a command that has printed what it found: a rejection or a gap.
var errFound = errors.New("something was rejected or is missing")

// cli is the grammar. kong reads it, and completion walks it.
type cli struct {
	globals

	Demo       demoCmd       `cmd:"" help:"Simulate a log, audit it and show the result. Needs nothing else."`
	Verify     verifyCmd     `cmd:"" help:"Verify batches in files, directories or buckets, without a queue."`
	Run        runCmd        `cmd:"" help:"Follow logs and audit them, or audit a range of epochs, in one process."`
	Enqueue    enqueueCmd    `cmd:"" help:"Put the epochs that have no verdict yet on the queue."`
	Scheduler  schedulerCmd  `cmd:"" help:"Keep on the queue what is to be audited, and send alerts, until told to stop."`
	Worker     workerCmd     `cmd:"" help:"Take epochs from the queue and write their verdicts, until told to stop."`
	Retry      retryCmd      `cmd:"" help:"Try epochs again now that wait for it or were given up."`
	Pause      pauseCmd      `cmd:"" help:"Keep workers from taking epochs from the queue."`
	Resume     resumeCmd     `cmd:"" help:"Let workers take epochs from a paused queue again."`
	Status     statusCmd     `cmd:"" help:"Show what is verified, rejected and missing in an audit store."`
	Head       headCmd       `cmd:"" help:"Show up to which epoch everything is verified, and the digest there."`
	Seal       sealCmd       `cmd:"" help:"Put seals on full shards of an audit store, or check those that are there."`
	Reverify   reverifyCmd   `cmd:"" help:"Look again at epochs that have a verdict, and raise an alert where it does not hold."`
	Export     exportCmd     `cmd:"" help:"Write the verdicts of an audit store to standard output, as JSON lines or CSV."`
	Alert      alertCmd      `cmd:"" help:"Try out where alerts go."`
	Config     configCmd     `cmd:"" help:"Check a configuration file."`
	Simulate   simulateCmd   `cmd:"" help:"Write a log like a real one, honest or tampered with."`
	Version    versionCmd    `cmd:"" help:"Show the version of this program."`
	Completion completionCmd `cmd:"" help:"Print the completion script for a shell."`
	Man        manCmd        `cmd:"" help:"Print the man page."`
	Complete   completeCmd   `cmd:"" hidden:"" name:"__complete" passthrough:"" help:"List completions of a command line."`
}

// globals are the flags that every command has.
type globals struct {
	JSON       bool   `name:"json" group:"output" help:"Print results as JSON, one object a line."`
	LogLevel   string `group:"output" enum:"auto,debug,info,warn,error" default:"auto" help:"Least important log line to write: debug, info, warn or error. By default info for what runs until told to stop, warn otherwise."`
	LogFormat  string `group:"output" enum:"auto,console,json" default:"auto" help:"How log lines look: console or json. By default console on a terminal, json otherwise."`
	NoProgress bool   `group:"output" help:"Show no progress bar, even on a terminal."`
}

const description = `Audits Key Transparency logs: shows for every epoch that the log's tree only grew.

Exit status: 0 all good; 1 something was rejected or is missing; 2 could not judge.
Every flag can be given by the environment variable that stands beside it.`

// execute parses args, runs the command and turns its error into an exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "ktaudit: internal error: %v\nPlease report this, with the lines below.\n%s", p, debug.Stack())
			status = exitNotJudged
		}
	}()
	var c cli
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
		status = exitNotJudged
	case args[0] == "help": // as with programs that have it for a command
		args = append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version": // and with those that have it for a flag
		args = append([]string{"version"}, args[1:]...)
	}
	parsed, err := parse(parser, args)
	switch {
	case errors.Is(err, errHelpShown):
		return status
	case err != nil:
		return fail(stderr, usageError(err))
	}
	if err := lanes.EnvironmentError(); err != nil {
		return fail(stderr, err)
	}
	a := newApp(c.globals, parsed, stdout, stderr)
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(a)
	switch {
	case a.out.err != nil: // nobody has read what was found
		return fail(stderr, a.out.err)
	case err == nil:
		return exitGood
	case errors.Is(err, errFound):
		return exitFound
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		interrupted := errors.New("interrupted")
		if u, ok := errors.AsType[*unfinishedError](err); ok {
			interrupted = &unfinishedError{interrupted, u.far}
		}
		return fail(stderr, interrupted)
	}
	return fail(stderr, err)
}

// unfinishedError is an error with how far a command had come.
type unfinishedError struct {
	err error
	far string
}

func (e *unfinishedError) Error() string { return fmt.Sprintf("%v (%s)", e.err, e.far) }
func (e *unfinishedError) Unwrap() error { return e.err }

// newParser builds kong's parser for c.
func newParser(c *cli, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("ktaudit"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.DefaultEnvars("KTAUDIT"),
		kong.Vars{"tamper_kinds": tamperKinds(), "presets": strings.Join(config.PresetNames(), " or ")},
		kong.Exit(func(int) { panic(errHelpShown) }),
		kong.ExplicitGroups([]kong.Group{
			{Key: "log", Title: "The log:"},
			{Key: "simulation", Title: "The simulation:"},
			{Key: "store", Title: "The audit store:"},
			{Key: "signatures", Title: "Signed digests:"},
			{Key: "queue", Title: "The queue:"},
			{Key: "limits", Title: "Limits:"},
			{Key: "output", Title: "Output:"},
		}),
	)
}

// errHelpShown leaves kong after --help: kong would go on and complain about what else is missing.
var errHelpShown = errors.New("help was shown")

func parse(parser *kong.Kong, args []string) (parsed *kong.Context, err error) {
	defer func() {
		if p := recover(); p == errHelpShown {
			err = errHelpShown
		} else if p != nil {
			panic(p)
		}
	}()
	return parser.Parse(args)
}

// usageError adds to a parsing error where help is found.
func usageError(err error) error {
	command := "ktaudit"
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		for _, step := range p.Context.Path {
			if step.Command != nil {
				command += " " + step.Command.Name
			}
		}
	}
	return fmt.Errorf("%w (try %s --help)", err, command)
}

// fail prints one line for err.
func fail(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "ktaudit: %s\n", strings.TrimSpace(err.Error()))
	return exitNotJudged
}
