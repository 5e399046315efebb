package main

import (
	"os"
	"runtime/debug"
)

// runsOn are the commands that a machine runs all the time.
var runsOn = map[string]bool{"run": true, "scheduler": true, "serve": true, "worker": true}

// collectLess lets the heap grow to three times what is in use, and not twice, before garbage is
// collected, unless the environment variable GOGC says when. With small epochs little is in use,
// some 10 MB, and collecting takes a sixth of the CPU time. The memory limit, see
// verify.LimitHeap, goes before it.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}
