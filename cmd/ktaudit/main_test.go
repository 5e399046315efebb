package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what the commands print now")

// binDir holds a link named ktaudit to the test program, which is the command when it is called by
// that name. So the tests run the code under test in processes of its own, with real exit statuses
// and signals, and under -race.
var binDir string

// clockVariable names a file that says by how much the command's clock is wrong; see setClock.
const clockVariable = "CHAOS_CLOCK"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "ktaudit" {
		if path := os.Getenv(clockVariable); path != "" {
			if err := setClock(path); err != nil {
				fmt.Fprintln(os.Stderr, "clock:", err)
				os.Exit(3)
			}
		}
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	self, err := os.Executable()
	if err == nil {
		binDir, err = os.MkdirTemp("", "ktaudit-bin-*")
	}
	if err == nil {
		defer os.RemoveAll(binDir)
		err = os.Symlink(self, filepath.Join(binDir, "ktaudit"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
