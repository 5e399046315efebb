package main

import (
	"io"
	"strings"
	"testing"
)

// TestNegativeFlags: a negative value is refused by the name of its flag, by one rule for all.
func TestNegativeFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	common := []string{"--namespace", "example", "--log-directory", "mem://", "--audit-store", "./audit"}
	for _, test := range []struct{ command, flag string }{
		{"worker", "--settle=-1s"}, {"worker", "--concurrency=-1"}, {"worker", "--shutdown-timeout=-1s"},
		{"run", "--settle=-1s"}, {"reverify", "--concurrency=-1"}, {"scheduler", "--poll=-1s"},
		{"chain", "--max-requests=-1"},
	} {
		t.Run(test.command+test.flag, func(t *testing.T) {
			args := append([]string{test.command, test.flag}, common...)
			if test.command == "reverify" {
				args = append(args, "1")
			}
			var b strings.Builder
			if code := execute(t.Context(), args, io.Discard, &b); code == 0 || !strings.Contains(b.String(), test.flag+" is negative") {
				t.Errorf("exit status %d, %q: does not say that %s is negative", code, b.String(), test.flag)
			}
		})
	}
}
