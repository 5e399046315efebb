package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/verify"
)

// TestSettle: the flag and its variable go before the configuration, and that before what is usual.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, folder := range []string{"log", "audit"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const nothing = 0
	for _, test := range []struct {
		name, key, flag, variable string
		want                      time.Duration
	}{
		{"nothing given", "", "", "", time.Minute},
		{"in the configuration", "settle: 7s", "", "", 7 * time.Second},
		{"none in the configuration", "settle: none", "", "", nothing},
		{"the flag goes first", "settle: 7s", "9s", "", 9 * time.Second},
		{"the flag goes first with nothing", "settle: 7s", "0s", "", nothing},
		{"the variable goes first", "settle: none", "", "9s", 9 * time.Second},
		{"without a configuration", "-", "", "", time.Minute},
		{"the flag without a configuration", "-", "0s", "", nothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"worker", "--namespace", "example", "--log-directory", "log", "--audit-store", "audit"}
			if test.key != "-" {
				text := "audit_store: ./audit\nnamespaces:\n  - {namespace: example, log_directory: ./log, " + test.key + "}\n"
				if err := os.WriteFile("ktaudit.yaml", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				args = []string{"worker", "--config", "ktaudit.yaml"}
			}
			if test.flag != "" {
				args = append(args, "--settle", test.flag)
			}
			if test.variable != "" {
				t.Setenv("KTAUDIT_SETTLE", test.variable)
			}
			var c cli
			parser, err := newParser(&c, io.Discard, io.Discard)
			if err == nil {
				_, err = parse(parser, args)
			}
			if err != nil {
				t.Fatal(err)
			}
			settings, n, err := c.Worker.loadOne(c.Worker.Namespace)
			if err != nil {
				t.Fatal(err)
			}
			c.Worker.auditFlags.fill(settings, n)
			opened, err := c.Worker.open(t.Context(), &app{}, 1, sharedByAudits{budget: verify.NewBudget(1)})
			if err != nil {
				t.Fatal(err)
			}
			if got := opened.auditor.MinAge; got != test.want {
				t.Errorf("settles for %s, want %s", got, test.want)
			}
			if err := opened.close(); err != nil {
				t.Error(err)
			}
		})
	}
}
