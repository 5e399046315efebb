package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/rs/zerolog"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// maxLogLine is how long a log line is at most, in bytes. On a terminal, where fields are coloured,
// it may take some more.
const maxLogLine = 2 << 10

// app is where every command writes its results, log lines and progress.
type app struct {
	out  *output
	log  zerolog.Logger
	json bool
	bars *bars
	lost func() uint64 // how many log lines could not be written

	levelGiven bool
}

func newApp(g globals, parsed *kong.Context, stdout, stderr io.Writer) *app {
	terminal := isTerminal(stderr)
	b := &bars{w: stderr, enabled: terminal && !g.NoProgress}
	level := g.LogLevel
	if level == "auto" {
		level = "warn" // see serve
		if parsed.Command() == "demo" {
			level = "disabled" // its report contains everything
		}
	}
	parsedLevel, err := zerolog.ParseLevel(level)
	if err != nil {
		panic(err) // the grammar allows only levels that zerolog knows
	}
	lines := newLogLines(b, func(w io.Writer) io.Writer {
		if g.LogFormat == "console" || g.LogFormat == "auto" && terminal {
			w = newConsole(w, terminal && os.Getenv("NO_COLOR") == "")
		}
		return text.NewLogWriter(w, maxLogLine)
	})
	log := zerolog.New(lines.formatted).Level(parsedLevel).With().Timestamp().Logger()
	return &app{
		out:  &output{w: stdout},
		log:  log,
		json: g.JSON,
		bars: b,
		lost: lines.lost.Load,

		levelGiven: g.LogLevel != "auto",
	}
}

// serve raises the log level to info, for commands that run until they are stopped, and has SIGHUP
// reload what can be.
func (a *app) serve(ctx context.Context) {
	if !a.levelGiven {
		a.log = a.log.Level(zerolog.InfoLevel)
	}
	a.reloadOnHangup(ctx)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// output writes results and remembers the first error, so that a command whose redirected output
// hits a full disk does not exit with 0. It then calls failed, since nobody waits for more.
type output struct {
	w      io.Writer
	err    error
	failed func()
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("standard output: %w", err)
		if o.failed != nil {
			o.failed()
		}
	}
	return n, o.err
}

// printf writes a line or more for a human.
func (a *app) printf(format string, args ...any) {
	fmt.Fprintf(a.out, format, args...)
}

// object writes v as one line of JSON.
func (a *app) object(v any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(line.Bytes())
	return err
}

// bars shows one progress bar at a time on a terminal and keeps log lines from breaking it.
type bars struct {
	mu      sync.Mutex
	w       io.Writer
	enabled bool
	bar     *progressbar.ProgressBar

	title, noted string // of the bar
}

// start shows a bar that counts epochs to total. The caller ends it with finish.
func (b *bars) start(title string, total uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin(title, "epochs", total)
}

// follow is start and set in one, for work whose size is known only after it has begun.
func (b *bars) follow(title, unit string, done, total uint64) {
	b.mu.Lock()
	switch {
	case b.bar == nil:
		b.begin(title, unit, total)
	case b.bar.GetMax64() != int64(total): // a guess that has become better
		b.bar.ChangeMax64(int64(total))
	}
	b.mu.Unlock()
	b.set(done)
}

func (b *bars) begin(title, unit string, total uint64) {
	if !b.enabled {
		return
	}
	b.title, b.noted = title, ""
	b.bar = progressbar.NewOptions64(int64(total),
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetDescription(fmt.Sprintf("%-10s", title)),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionThrottle(65*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
	)
}

// isShown reports whether there is a bar.
func (b *bars) isShown() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bar != nil
}

// barWidth is about how much of a line a bar takes, without a note; minNote is the least that is
// worth to be shown of one.
const barWidth, minNote = 85, 40

// note shows a text beside the bar, as much as fits into the line, or once above it where nearly
// nothing does. An empty one takes it away.
func (b *bars) note(note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar == nil || note == b.noted {
		return
	}
	b.noted = note
	title := fmt.Sprintf("%-10s", b.title)
	switch room := b.width() - barWidth; {
	case note == "":
	case room < minNote:
		_ = b.bar.Clear()
		fmt.Fprintln(b.w, note)
	default:
		title += " " + text.Cut(note, room)
	}
	b.bar.Describe(title)
}

// width is how many columns the terminal has.
func (b *bars) width() int {
	if f, ok := b.w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			return columns
		}
	}
	return 0
}

// set moves the bar to done.
func (b *bars) set(done uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Set64(int64(done)) // a bar that cannot be drawn is no reason to stop
	}
}

// clear takes the bar off its line, for a result that goes to the same terminal. The next set shows
// it again.
func (b *bars) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}

// finish removes the bar.
func (b *bars) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}

// Write writes a log line, above the bar if there is one.
func (b *bars) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	return b.w.Write(p)
}
