package main

import (
	"fmt"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// TestBrowserServe looks at what serve serves in a browser, and has an epoch audited meanwhile.
func TestBrowserServe(t *testing.T) {
	t.Parallel()
	a := newServed(t, "", "token_file: token")
	run := func(from, to string) error {
		out, err := a.command("run", "--config", "ktaudit.yaml", "--from", from, "--to", to).CombinedOutput()
		if err != nil {
			return fmt.Errorf("run: %w: %s", err, out)
		}
		return nil
	}
	if err := run("1", "2"); err != nil {
		t.Fatal(err)
	}
	s := a.serve("--redis", "redis://127.0.0.1:1") // there need be none
	base := "http://" + s.api + "/"
	testservers.Browser(t, "serve.mjs", map[string]any{
		"base": base, "origins": []string{"http://" + s.api}, "log": "example", "head": 2,
	}, func(string) error { return run("3", "3") })
	s.end()
}
