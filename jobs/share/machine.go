package share

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/cgroup"
)

// defaultMemory is used where the machine does not say how much memory it has.
const defaultMemory = 4 << 30

// MachineMemory is how much memory this container or machine lets the process use: the least that
// its cgroups allow, and no more than there is.
func MachineMemory() int64 { return leastMemory(cgroup.MemoryLimit(), "/proc/meminfo") }

// leastMemory is the smaller one of a limit, 0 for none, and the kernel's MemTotal.
func leastMemory(limit int64, meminfo string) int64 {
	total := int64(0)
	if text, err := os.ReadFile(meminfo); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) != 3 || fields[0] != "MemTotal:" {
				continue
			}
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 && n <= 1<<50 {
				total = n << 10
			}
		}
	}
	switch {
	case limit > 0 && (total == 0 || limit < total):
		return limit
	case total > 0:
		return total
	}
	return defaultMemory
}
