package main

import (
	"os"
	"syscall"
	"time"
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

// ownCPU is the CPU time that this process has used so far.
func ownCPU() time.Duration {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0
	}
	return time.Duration(own.Utime.Nano() + own.Stime.Nano())
}
