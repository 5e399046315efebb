//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ktaudit/ktaudit/fetcher"
)

// A pipe whose other end is not there, or says nothing, ends with the context.
func TestHostilePipesEndWithTheContext(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nobody", "silent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if name == "nobody" {
				cancel()
				if _, err := openFile(ctx, pipe, fetcher.Options{}); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
			b, err := openFile(ctx, pipe, fetcher.Options{})
			if err != nil {
				t.Fatal(err)
			}
			read := make(chan error)
			go func() {
				_, err := io.ReadAll(b)
				read <- err
			}()
			cancel()
			if err := <-read; err == nil {
				t.Error("a batch of nothing was read")
			}
			if err := b.Close(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// What is in an epoch's or a batch's place in a log directory and is neither is told, without
// waiting for it; it is no verdict, and the epoch is not passed over.
func TestHostileLogDirectoryIsVerified(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{"pipe": "is a named pipe, which is not read", "link": "is a symbolic link, which is not followed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "3")
			last := filepath.Join(a.dir, "log", "3")
			batches, err := filepath.Glob(filepath.Join(last, "*", "*"))
			if err != nil || len(batches) != 1 {
				t.Fatal(batches, err)
			}
			if name == "pipe" {
				err = errors.Join(os.Remove(batches[0]), syscall.Mkfifo(batches[0], 0o600))
			} else {
				err = errors.Join(os.Rename(last, filepath.Join(a.dir, "3")), os.Symlink(filepath.Join(a.dir, "3"), last))
			}
			if err = errors.Join(err, os.Symlink("log", filepath.Join(a.dir, "linked"))); err != nil {
				t.Fatal(err)
			}
			for _, log := range []string{"log", "linked"} { // an argument may be a link
				cmd := a.command("verify", log)
				out, _ := cmd.CombinedOutput() // the status is looked at below
				if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), says) ||
					!strings.Contains(string(out), "epoch 3") || strings.Count(string(out), "verified  ") != 2 {
					t.Errorf("verify %s: %v\n%s", log, cmd.ProcessState, out)
				}
			}
		})
	}
}
