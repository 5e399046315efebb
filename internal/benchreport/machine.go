package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/lanes"
)

// thisMachine describes the machine as far as is known: processor, cores, memory, system and
// compiler.
func thisMachine() string {
	processor := field("/proc/cpuinfo", "model name")
	if processor == "" {
		processor = "unknown processor"
	}
	if family, model := field("/proc/cpuinfo", "cpu family"), field("/proc/cpuinfo", "model"); family != "" && model != "" {
		processor += fmt.Sprintf(" (family %s, model %s)", family, model)
	}
	parts := []string{processor, fmt.Sprintf("%d cores", runtime.NumCPU())}
	var kib int64
	if n, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err == nil && n == 1 {
		parts = append(parts, fmt.Sprintf("%d GB of memory", (kib<<10+5e8)/1e9))
	}
	parts = append(parts, runtime.GOOS+"/"+runtime.GOARCH, runtime.Version(),
		"hash paths "+strings.Join(lanes.Paths(), ", "))
	return strings.Join(parts, ", ")
}

// field returns the value of the first line "name : value" of a file under /proc, or "" where there
// is none.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// coresBusy returns how many cores are busy while this process waits, or 0 where that cannot be
// known. The load average would still include the builds before a measurement.
func coresBusy(wait time.Duration) float64 {
	busy, total := processorTime()
	time.Sleep(wait)
	busyAfter, totalAfter := processorTime()
	if totalAfter == total {
		return 0
	}
	return float64(runtime.NumCPU()) * float64(busyAfter-busy) / float64(totalAfter-total)
}

// processorTime reads the first line of /proc/stat: the ticks of all cores since the start, by what
// they were spent on. The fourth and the fifth are idle.
func processorTime() (busy, total uint64) {
	text, _ := os.ReadFile("/proc/stat") // without one, nothing is busy
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			continue // the name of the line
		}
		total += ticks
		if i != 4 && i != 5 {
			busy += ticks
		}
	}
	return busy, total
}
