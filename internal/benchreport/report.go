package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// report is all that was measured.
type report struct {
	machine   string
	busyCores float64 // with other work, before the first run
	oracleBy  string
	date      time.Time
	runs      int
	sizes     []size
	floors    []floor
}

// busy reports whether other work kept the machine busy when the measurement began.
func (r report) busy() bool { return r.busyCores > 0.2 }

func (r report) floor(path string) (floor, bool) {
	for _, f := range r.floors {
		if f.path == path {
			return f, true
		}
	}
	return floor{}, false
}

// markdown returns the section of docs/performance.md, without the plot.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Measured on %s\n\n", r.date.Format(time.DateOnly))
	fmt.Fprintf(&b, "Machine: %s. akd 0.13.0 with its default features", r.machine)
	if r.oracleBy != "" {
		fmt.Fprintf(&b, ", built by %s", r.oracleBy)
	}
	b.WriteString(".\n\n")
	if r.busy() {
		fmt.Fprintf(&b, "**%.1f cores were busy with other work when this began, so these times say little.**\n\n", r.busyCores)
	}
	r.processes(&b)
	r.inside(&b)
	r.together(&b)
	r.kernel(&b)
	return b.String()
}

func (r report) processes(b *strings.Builder) {
	fmt.Fprintf(b, "Whole processes, `ktaudit verify FILE` and the akd oracle on the same uncompressed file in the page cache, in turns; "+
		"%s. The floor is the time of the kernel alone, on all cores, for the hashes that the epoch cannot do without.\n\n", medianOf(r.runs))
	b.WriteString("| inserted | unchanged | proof | program | wall | faster than akd | CPU | peak memory | of akd's | wall per element | floor | floor / wall |\n")
	b.WriteString("|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, z := range r.sizes {
		akd := z.rows[0]
		head := fmt.Sprintf("| %s | %s | %s ", count(z.inserted), count(z.unchanged), size64(z.bytes))
		for _, w := range z.rows {
			faster, share, least, reached := "", "", "", ""
			if w.path != "" {
				faster = ratio(akd.wall, w.wall)
				if akd.memory > 0 {
					share = fmt.Sprintf("%.0f %%", 100*float64(w.memory)/float64(akd.memory))
				}
			}
			if f, ok := r.floor(w.path); ok {
				least = duration(f.time(z))
				reached = fmt.Sprintf("%.0f %%", 100*float64(f.time(z))/float64(w.wall))
			}
			perElement := time.Duration(float64(w.wall) / float64(max(1, z.elements())))
			fmt.Fprintf(b, "%s| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", head, w.label, duration(w.wall), faster,
				duration(w.cpu), w.memoryText(), share, duration(perElement), least, reached)
			head = "| | | "
		}
	}
	b.WriteString("\n")
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

func (r report) inside(b *strings.Builder) {
	var table strings.Builder
	for _, z := range r.sizes {
		for _, w := range z.rows {
			if w.inside == 0 {
				continue
			}
			faster := ""
			if w.path != "" {
				faster = ratio(z.rows[0].inside, w.inside)
			}
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", count(z.inserted), count(z.unchanged), w.label, duration(w.inside), faster)
		}
	}
	if table.Len() == 0 {
		return
	}
	b.WriteString("Small epochs in a process that has been running, without its start; medians. akd's figure leaves out decoding, ktaudit's doesn't.\n\n")
	b.WriteString("| inserted | unchanged | program | time | faster than akd |\n|--:|--:|---|--:|--:|\n")
	b.WriteString(table.String() + "\n")
}

func (r report) together(b *strings.Builder) {
	b.WriteString("Two `ktaudit verify` of the same epoch at once, against two one after the other:\n\n")
	b.WriteString("| inserted | two at once | one after the other | throughput at once |\n|--:|--:|--:|--:|\n")
	for _, z := range r.sizes {
		serial := 2 * z.rows[1].wall
		fmt.Fprintf(b, "| %s | %s | %s | %.0f %% |\n", count(z.inserted), duration(z.together), duration(serial),
			100*float64(serial)/float64(z.together))
	}
	b.WriteString("\n")
}

func (r report) kernel(b *strings.Builder) {
	b.WriteString("The kernel alone, one-block messages in the first-level cache, all cores:\n\n| hash path | hashes a second |\n|---|--:|\n")
	for _, f := range r.floors {
		fmt.Fprintf(b, "| %s | %.0f million |\n", f.path, f.rate/1e6)
	}
}

func medianOf(runs int) string {
	if runs == 1 {
		return "one run"
	}
	return fmt.Sprintf("medians of %d", runs)
}

// ratio says how many times shorter b is than a.
func ratio(a, b time.Duration) string {
	x := float64(a) / float64(max(1, b))
	if x < 10 {
		return fmt.Sprintf("%.1f ×", x)
	}
	return fmt.Sprintf("%.0f ×", x)
}

// duration is a time with three significant digits.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d >= unit.size {
			return significant(float64(d)/float64(unit.size)) + " " + unit.name
		}
	}
	return strconv.FormatInt(d.Nanoseconds(), 10) + " ns"
}

// size64 is a number of bytes, in powers of a thousand as the batch sizes of the logs are given.
func size64(n int64) string {
	switch {
	case n >= 1e9:
		return significant(float64(n)/1e9) + " GB"
	case n >= 1e6:
		return significant(float64(n)/1e6) + " MB"
	}
	return significant(float64(n)/1e3) + " kB"
}

func significant(x float64) string {
	if x <= 0 {
		return "0"
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(x))))
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

// count puts commas between thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// The marks around the section of the document that this program rewrites. People write outside
// them.
const (
	beginMark = "<!-- written by scripts/bench: begin -->\n"
	endMark   = "<!-- written by scripts/bench: end -->\n"
)

// rewriteSection puts section and the plot's picture between the marks of the document, or at its
// end if it has none.
func rewriteSection(document, section, plot string) error {
	old, err := os.ReadFile(document)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte("# Performance\n"), nil
	}
	if err != nil {
		return err
	}
	section = fmt.Sprintf("%s%s\n![Time of a verification against the size of an epoch](%s)\n%s", beginMark, section,
		filepath.Base(plot), endMark)
	before, rest, begun := bytes.Cut(old, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	switch {
	case !begun:
		before = append(bytes.TrimRight(old, "\n"), "\n\n"...)
	case !ended:
		return fmt.Errorf("%s: the mark that ends the measured section is missing", document)
	}
	return os.WriteFile(document, bytes.Join([][]byte{before, after}, []byte(section)), 0o644)
}
