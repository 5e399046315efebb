package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/alecthomas/kong"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/ktaudit/ktaudit/validator"
)

// Exit statuses, the same for every command.
const (
	exitGood   = 0 // everything asked about was verified
	exitFound  = 1 // something was rejected or is missing
	exitFailed = 2 // usage, I/O, configuration, an interrupt or a bug: says nothing about the log
	exitShown  = 3 // verify: what a bundle claims holds only if whoever made it is believed
)

// errShown ends verify of a bundle that shows what it claims without proving it.
var errShown = errors.New("holds only if whoever made the bundle is believed")

// errFound ends a command that has printed what it found, a rejection or a gap.
var errFound = errors.New("something was rejected or is missing")

// cli is the grammar. kong reads it, and completion walks it.
type cli struct {
	globals

	Demo       demoCmd       `cmd:"" help:"Simulate a log, audit it and show the result. Needs no setup."`
	Verify     verifyCmd     `cmd:"" help:"Verify batches in files, directories or buckets, without a queue."`
	Audit      auditCmd      `cmd:"" help:"Check what an auditor signed for an epoch, and the proof behind it."`
	LocalAudit localAuditCmd `cmd:"" help:"Check a signed digest and a proof in files."`
	Ls         lsCmd         `cmd:"" help:"List the logs that an auditor knows."`
	Run        runCmd        `cmd:"" help:"Follow and audit logs, or audit a range of epochs, in one process."`
	Enqueue    enqueueCmd    `cmd:"" help:"Add epochs without a verdict to the queue."`
	Scheduler  schedulerCmd  `cmd:"" help:"Follow logs, add their epochs to the queue and send alerts, until stopped."`
	Worker     workerCmd     `cmd:"" help:"Audit epochs from the queue and record their verdicts, until stopped."`
	Serve      serveCmd      `cmd:"" help:"Serve an auditor's API and sign the digests that logs post, until stopped."`
	Health     healthCmd     `cmd:"" help:"Ask a running process whether it is alive, or ready."`
	Retry      retryCmd      `cmd:"" help:"Retry failed epochs now instead of waiting."`
	Pause      pauseCmd      `cmd:"" help:"Pause a queue: workers take no more epochs from it."`
	Resume     resumeCmd     `cmd:"" help:"Resume a paused queue."`
	Status     statusCmd     `cmd:"" help:"Show which epochs are verified, rejected or missing."`
	Show       showCmd       `cmd:"" help:"Show all that is known of one epoch."`
	Head       headCmd       `cmd:"" help:"Show the last epoch up to which all are verified, and its digest."`
	Seal       sealCmd       `cmd:"" help:"Seal complete shards of an audit store, or check existing seals."`
	Log        logCmd        `cmd:"" help:"Keep, show and check the log of this auditor's own verdicts."`
	Chain      chainCmd      `cmd:"" help:"Walk a log's names and record whether they continue each other."`
	Prove      proveCmd      `cmd:"" help:"Write a file that proves to anybody what this auditor says of an epoch."`
	Check      checkCmd      `cmd:"" help:"Check a proof or a statement of an auditor's, by its keys alone."`
	Statement  statementCmd  `cmd:"" help:"Print a signed statement of an epoch, to compare with those of other auditors."`
	Overrule   overruleCmd   `cmd:"" help:"Audit an epoch anew, after a mistake of your own, and record the result beside the verdict."`
	Reverify   reverifyCmd   `cmd:"" help:"Audit epochs again and raise an alert if a verdict is contradicted."`
	Evidence   evidenceCmd   `cmd:"" help:"Make one file of all evidence on an epoch, for others to check."`
	Export     exportCmd     `cmd:"" help:"Export verdicts to standard output, as JSON lines or CSV."`
	Publish    publishCmd    `cmd:"" help:"Write the public page as plain files to a bucket."`
	Incidents  incidentsCmd  `cmd:"" help:"List what is wrong, show one incident, or acknowledge it."`
	Explain    explainCmd    `cmd:"" help:"Say what a reason or a kind of alert means, and what to do."`
	Alert      alertCmd      `cmd:"" help:"Test the alert targets."`
	Config     configCmd     `cmd:"" help:"Write a configuration file, or check one."`
	Keygen     keygenCmd     `cmd:"" help:"Make a key to sign with."`
	Simulate   simulateCmd   `cmd:"" help:"Write a simulated log, honest or tampered with."`
	Version    versionCmd    `cmd:"" help:"Show the version of this program."`
	Completion completionCmd `cmd:"" help:"Print the completion script for a shell."`
	Man        manCmd        `cmd:"" help:"Print the man page."`
	Complete   completeCmd   `cmd:"" hidden:"" name:"__complete" passthrough:"" help:"List the completions of a command line."`
}

// globals are the flags that every command has.
type globals struct {
	JSON       bool   `name:"json" group:"output" help:"Print results as JSON, one object per line."`
	LogLevel   string `group:"output" enum:"auto,debug,info,warn,error" default:"auto" help:"Lowest level of log lines to write: debug, info, warn or error. By default info for commands that run until stopped, warn for others."`
	LogFormat  string `group:"output" enum:"auto,console,json" default:"auto" help:"Format of log lines: console or json. By default console on a terminal, json elsewhere."`
	NoProgress bool   `group:"output" help:"Hide the progress bar."`
}

const description = `Audits Key Transparency logs: verifies for every epoch that the log's tree only grew.

Exit status: 0 all good; 1 something was rejected or is missing; 2 the command failed;
3 what a bundle claims holds only if whoever made it is believed (verify).
Each flag can also be set by the environment variable shown beside it.`

// execute parses args, runs the command and turns its error into an exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "ktaudit: internal error: %s\nThis is a bug. Please report it with the lines below.\n%s",
				text.Clean(fmt.Sprint(p), maxErrorLine), debug.Stack())
			status = exitFailed
		}
	}()
	ignoreEmptyVariables()
	switch {
	case len(args) == 0:
		args = []string{"--help"}
		status = exitFailed
	case args[0] == "help": // as in programs where it is a command
		args = append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version": // as in programs where it is a flag
		args = append([]string{"version"}, args[1:]...)
	}
	grammar, flags := grammarFor(args[0])
	parser, err := newParser(grammar, stdout, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	parsed, err := parse(parser, args)
	switch {
	case errors.Is(err, errHelpShown) || errors.Is(err, syscall.EPIPE): // as in ktaudit --help | head
		return status
	case err != nil:
		return fail(stderr, usageError(err))
	}
	if err := lanes.EnvironmentError(); err != nil {
		return fail(stderr, err)
	}
	a := newApp(*flags, parsed, stdout, stderr)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.out.failed = cancel
	parsed.BindTo(ctx, (*context.Context)(nil))
	if runsOn[parsed.Command()] {
		collectLess()
	}
	err = parsed.Run(a)
	switch {
	case errors.Is(a.out.err, syscall.EPIPE): // as in ktaudit export | head: who reads has had enough
		return exitFailed
	case a.out.err != nil: // the result was not written
		return fail(stderr, a.out.err)
	case err == nil:
		return exitGood
	case errors.Is(err, errFound):
		return exitFound
	case errors.Is(err, errShown):
		return exitShown
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		interrupted := errors.New("interrupted")
		if u, ok := errors.AsType[*unfinishedError](err); ok {
			interrupted = &unfinishedError{interrupted, u.progress}
		} else if goesOn[parsed.Command()] {
			interrupted = &unfinishedError{interrupted, "what is done is kept; the same command goes on"}
		}
		return fail(stderr, interrupted)
	}
	return fail(stderr, err)
}

// goesOn are the commands that leave out what they have done before, when they are run again.
var goesOn = map[string]bool{"log append": true, "publish": true, "retry": true, "seal": true}

// unfinishedError is an error that says how far a command got.
type unfinishedError struct {
	err      error
	progress string
}

func (e *unfinishedError) Error() string { return fmt.Sprintf("%v (%s)", e.err, e.progress) }
func (e *unfinishedError) Unwrap() error { return e.err }

// grammarFor returns the grammar for a command line that begins with a word, and where its common
// flags will be: of a command that has its own grammar that one alone, since kong takes most of a
// short command's time to read all of them, and otherwise the whole.
func grammarFor(word string) (grammar any, flags *globals) {
	if !slices.Contains([]string{"completion", "__complete", "man"}, word) { // which walk the whole grammar
		for _, field := range reflect.VisibleFields(reflect.TypeFor[cli]()) {
			if _, isCommand := field.Tag.Lookup("cmd"); isCommand && commandName(field) == word {
				common := reflect.StructField{Name: "Globals", Type: reflect.TypeFor[globals](), Tag: `embed:""`}
				one := reflect.New(reflect.StructOf([]reflect.StructField{common, field}))
				return one.Interface(), one.Elem().Field(0).Addr().Interface().(*globals)
			}
		}
	}
	var whole cli
	return &whole, &whole.globals
}

// commandName is what kong calls a command.
func commandName(field reflect.StructField) string {
	if name := field.Tag.Get("name"); name != "" {
		return name
	}
	var name strings.Builder
	for i, r := range field.Name {
		if i > 0 && unicode.IsUpper(r) {
			name.WriteByte('-')
		}
		name.WriteRune(unicode.ToLower(r))
	}
	return name.String()
}

// newParser builds kong's parser for a grammar: a *cli, or a part of it.
func newParser(grammar any, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name("ktaudit"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.DefaultEnvars("KTAUDIT"),
		helpVars(),
		kong.Exit(func(int) { panic(errHelpShown) }),
		kong.ExplicitGroups([]kong.Group{
			{Key: "log", Title: "The log:"},
			{Key: "simulation", Title: "The simulation:"},
			{Key: "store", Title: "The audit store:"},
			{Key: "auditor", Title: "The auditor:"},
			{Key: "signatures", Title: "Signed digests:"},
			{Key: "queue", Title: "The queue:"},
			{Key: "limits", Title: "Limits:"},
			{Key: "output", Title: "Output:"},
		}),
	)
}

// helpVars are the values that help texts show.
func helpVars() kong.Vars {
	c, n := config.Default(), config.DefaultNamespace()
	return kong.Vars{
		"tamper_kinds": tamperKinds(), "presets": config.PresetList(),
		"configurations":        strings.Join(validator.ConfigurationKinds(), " or "),
		"default_configuration": n.Configuration, "default_first": strconv.FormatUint(n.First, 10),
		"default_poll": units.DurationText(n.Poll), "default_settle": units.DurationText(n.Settle),
		"default_max_lag":          n.MaxLag,
		"default_shutdown_timeout": units.DurationText(c.ShutdownTimeout),
		"default_max_bytes":        n.Limits.MaxBytes.String(), "default_max_stored_bytes": n.Limits.MaxStoredBytes.String(),
		"default_chain_requests": strconv.Itoa(chain.DefaultMaxRequests),
		"default_max_elements":   strconv.Itoa(n.Limits.MaxElements),
	}
}

// errHelpShown leaves kong after --help. Without it kong would go on and report missing flags.
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

// usageError adds to a parsing error which command shows help.
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

// What fail prints at most. A configuration file's problems are a line each.
const maxErrorLine, maxErrorLines = 2 << 10, 200

// fail prints err, which may quote what a server said.
func fail(stderr io.Writer, err error) int {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) > maxErrorLines {
		lines = append(lines[:maxErrorLines], text.Mark)
	}
	for i, line := range lines {
		lines[i] = text.Clean(line, maxErrorLine)
	}
	fmt.Fprintf(stderr, "ktaudit: %s\n", strings.Join(lines, "\n"))
	return exitFailed
}
