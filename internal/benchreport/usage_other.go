//go:build !linux

package main

import (
	"os"
	"time"
)

// peakMemory is not known here.
func peakMemory(*os.ProcessState) (bytes int64, atMost bool) { return 0, false }

// ownCPU is not known here.
func ownCPU() time.Duration { return 0 }
