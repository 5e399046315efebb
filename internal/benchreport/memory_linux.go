package main

import (
	"os"
	"syscall"
)

// peakMemory returns the largest resident set of a finished child, in bytes. Linux counts the
// memory of the process that forked it, so a figure that is not above this process's own is only a
// bound.
func peakMemory(child *os.ProcessState) (bytes int64, atMost bool) {
	used, ok := child.SysUsage().(*syscall.Rusage)
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil || !ok {
		return 0, false
	}
	return used.Maxrss << 10, used.Maxrss <= own.Maxrss
}
