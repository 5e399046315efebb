// Command ktaudit audits Key Transparency logs.
//
// This folder is the command line only: the grammar, the wiring of the packages and the printing.
// Each command is one small file. Results go to standard output, logs and the progress bar to
// standard error. The exit status is 0 when all is good, 1 when something was rejected or is
// missing, and 2 when the command could not tell; 3 when a bundle shows what it claims, but does
// not prove it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ktaudit/ktaudit/jobs/verify"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit status. The first interrupt asks the command to stop cleanly. After that
// signals have their usual effect again, so that a second interrupt ends the process at once.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	outliveSignals()
	verify.LimitHeap()
	return execute(ctx, args, os.Stdout, os.Stderr)
}
