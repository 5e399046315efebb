package share

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
)

// defaultMemory is used where the machine does not say how much memory it has.
const defaultMemory = 4 << 30

// MachineMemory is how much memory this container or machine lets the process use.
func MachineMemory() int64 { return memoryLimit("/sys/fs/cgroup/memory.max", "/proc/meminfo") }

// memoryLimit reads how much memory this process may use from a cgroup's limit and from the
// kernel's MemTotal, whichever is less.
func memoryLimit(cgroup, meminfo string) int64 {
	limit := int64(0)
	consider := func(text string, unit int64) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n <= 1<<60/unit && (limit == 0 || n*unit < limit) {
			limit = n * unit
		}
	}
	if text, err := os.ReadFile(cgroup); err == nil {
		consider(strings.TrimSpace(string(text)), 1)
	}
	if text, err := os.ReadFile(meminfo); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "MemTotal:" {
				consider(fields[1], 1<<10)
			}
		}
	}
	if limit == 0 {
		return defaultMemory
	}
	return limit
}
