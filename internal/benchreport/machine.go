package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/ktaudit/ktaudit/internal/lanes"
)

// thisMachine names the machine as far as it tells: processor, cores, memory, system and compiler.
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

// field returns the value of the first line "name : value" of a file under /proc, or "" where there is none.
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

// otherLoad returns how many processes of others wanted a core over the last minute, or 0 where that can't be known.
func otherLoad() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return 0
	}
	return load
}
