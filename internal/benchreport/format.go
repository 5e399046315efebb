package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// head begins a table. A column whose name begins with ">" is of figures, and aligned to the right.
func head(b *strings.Builder, columns ...string) {
	var rule strings.Builder
	for i, name := range columns {
		text, right := strings.CutPrefix(name, ">")
		columns[i] = text
		if right {
			rule.WriteString("|--:")
		} else {
			rule.WriteString("|---")
		}
	}
	row(b, columns...)
	b.WriteString(rule.String() + "|\n")
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
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

// percent is a's share of b.
func percent[N int64 | float64 | time.Duration](a, b N) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*float64(a)/float64(b))
}

// per is one of n parts of d.
func per[N int | int64](d time.Duration, n N) time.Duration {
	return time.Duration(float64(d) / float64(max(1, n)))
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

// perSecond is a rate, rounded to three digits, as more would say nothing.
func perSecond(rate float64) string {
	if rate < 100 {
		return significant(rate)
	}
	unit := math.Pow10(int(math.Floor(math.Log10(rate))) - 2)
	return count(int(math.Round(rate/unit) * unit))
}

// count puts commas between thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
