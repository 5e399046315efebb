package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ktaudit/ktaudit/internal/reload"
)

// outliveSignals keeps the process alive where Go's default is to end it. A broken pipe becomes an
// error of the write: log lines that are lost are counted, and a command whose result nobody reads
// ends by itself. When a terminal hangs up, work goes on; a command that writes to it ends as if it
// were a pipe. Programs that are started from here have the defaults, which Ignore would not leave
// them.
func outliveSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGHUP)
}

// reloadOnHangup has certificates, client CAs, tokens and passwords read again when SIGHUP comes,
// until ctx ends. By itself each is looked at once a second while it is used.
func (a *app) reloadOnHangup(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				reload.Now()
				a.log.Info().Msg("SIGHUP: reloaded; certificates, client CAs, tokens and passwords are read again when they are used next")
			case <-ctx.Done():
				return
			}
		}
	}()
}
