//go:build !linux

package main

import "os"

// peakMemory is not known here.
func peakMemory(*os.ProcessState) (bytes int64, atMost bool) { return 0, false }
