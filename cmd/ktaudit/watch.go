package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"golang.org/x/term"
)

// watchEvery is the pause between two frames of status --watch.
const watchEvery = 2 * time.Second

// What a terminal is told: to show another screen, the one before, and to clear the rest of a line
// or of the screen.
const (
	otherScreen, firstScreen    = "\x1b[?1049h", "\x1b[?1049l"
	toTheTop                    = "\x1b[H"
	clearTheLine, clearTheBelow = "\x1b[K", "\x1b[J"
)

// checkWatch refuses to redraw what is no screen.
func (a *app) checkWatch() error {
	switch {
	case a.json:
		return errors.New("--watch cannot be used with --json: run ktaudit status --json again and again instead")
	case !isTerminal(a.out.w):
		return errors.New("--watch needs a terminal: run ktaudit status again and again instead")
	}
	return nil
}

// watch draws the status until ctx ends. It then leaves the last one on the screen, and returns
// what that amounts to.
func (r *statusReader) watch(ctx context.Context, namespaces []config.Namespace) error {
	screen := r.app.out
	fmt.Fprint(screen, otherScreen)
	var last bytes.Buffer
	result := error(nil)
	for {
		all := r.readAll(ctx, namespaces)
		if ctx.Err() != nil { // what was broken off says nothing
			break
		}
		columns, rows := screenSize(screen.w)
		last.Reset()
		result = r.frame(&last, all, columns)
		fmt.Fprint(screen, toTheTop, fit(last.String(), columns, rows), clearTheBelow)
		if wait.For(ctx, watchEvery) != nil || screen.err != nil {
			break
		}
	}
	fmt.Fprint(screen, firstScreen, last.String())
	if last.Len() == 0 {
		return ctx.Err()
	}
	return result
}

// frame writes the status of all logs, with their strips, and returns what they amount to.
func (r *statusReader) frame(w io.Writer, all []logStatus, columns int) error {
	a := *r.app
	a.out = &output{w: w}
	for _, s := range all {
		if s.err == nil && s.status.To != 0 {
			published := s.status.To
			if s.live.Lag != nil {
				published = max(published, s.live.Lag.Published)
			}
			a.printf("%s\n", strip(s.status, published, max(1, columns-1), stripSymbols()))
		}
	}
	a.printf("%s   %s\n\n", stripSymbols().legend(), time.Now().UTC().Format(time.TimeOnly+"Z"))
	err := a.reportAll(all, r.Strict)
	if err != nil && !errors.Is(err, errFound) {
		a.printf("\n%s\n", text.Clean(err.Error(), maxErrorLine))
	}
	return err
}

// symbols are what a strip shows for epochs, the best first.
type symbols struct{ verified, ahead, missing, wrong rune }

func (s symbols) legend() string {
	return fmt.Sprintf("%c verified   %c published, no verdict yet   %c no verdict   %c rejected or broken", s.verified, s.ahead, s.missing, s.wrong)
}

// stripSymbols are plain where the terminal may show no others, or the user wants none.
func stripSymbols() symbols {
	locale := ""
	for _, name := range []string{"LANG", "LC_CTYPE", "LC_ALL"} { // the last that is set counts
		if value := os.Getenv(name); value != "" {
			locale = strings.ToLower(value)
		}
	}
	if os.Getenv("NO_COLOR") != "" || !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8") {
		return symbols{'#', '-', '.', 'X'}
	}
	return symbols{'█', '▒', '·', '✗'}
}

// strip shows the epochs of a status and those published after it in so many columns. Where several
// share one, it shows the worst of them.
func strip(s report.Status, published uint64, columns int, show symbols) string {
	total := published - s.From + 1
	cells := make([]rune, min(uint64(columns), total))
	fill := func(from, to uint64, r rune) {
		for i := cellOf(from-s.From, total, len(cells)); i <= cellOf(to-s.From, total, len(cells)); i++ {
			cells[i] = r
		}
	}
	fill(s.From, published, show.verified)
	if published > s.To {
		fill(s.To+1, published, show.ahead)
	}
	for _, gap := range s.Gaps {
		fill(gap.From, gap.To, show.missing)
	}
	for _, r := range rejectedRanges(s) {
		fill(r.From, r.To, show.wrong)
	}
	for _, b := range s.Breaks {
		fill(b.Epoch, b.Epoch, show.wrong)
	}
	for _, r := range s.Rollbacks {
		fill(r.Epoch, r.Epoch, show.wrong)
	}
	for _, stretch := range s.Stretches {
		if stretch.Contradicts() {
			fill(stretch.From, stretch.From, show.wrong)
		}
	}
	return string(cells)
}

// rejectedRanges are the epochs with a verdict that are not verified: of the rejected ones a status
// may list the first only.
func rejectedRanges(s report.Status) (rejected []epochset.Range) {
	others := slices.SortedFunc(slices.Values(slices.Concat(s.Verified, s.Gaps)), func(a, b epochset.Range) int {
		return cmp.Compare(a.From, b.From)
	})
	next := s.From
	for _, r := range append(others, epochset.Range{From: s.To + 1}) {
		if next < r.From {
			rejected = append(rejected, epochset.Range{From: next, To: r.From - 1})
		}
		next = r.To + 1
	}
	return rejected
}

// cellOf returns the cell of the n-th of all epochs.
func cellOf(n, total uint64, cells int) int { return int(n * uint64(cells) / total) }

// screenSize is how many columns and rows a terminal has.
func screenSize(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return 80, 24
}

// fit cuts a frame to a screen, and clears the rest of each line.
func fit(frame string, columns, rows int) string {
	lines := strings.Split(strings.TrimSuffix(frame, "\n"), "\n")
	if len(lines) >= rows {
		lines = append(lines[:max(0, rows-2)], text.Mark)
	}
	var b strings.Builder
	for _, line := range lines {
		if utf8.RuneCountInString(line) > columns {
			line = string([]rune(line)[:columns])
		}
		b.WriteString(line + clearTheLine + "\r\n")
	}
	return b.String()
}
