package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// TestBrowserServe looks at what serve serves in a browser, has an epoch audited meanwhile, and
// compares what publish writes.
func TestBrowserServe(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "3")
	ktaudit := func(args ...string) error {
		out, err := a.command(args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
		return nil
	}
	audit := func(from, to string) error {
		if err := ktaudit("run", "--config", "ktaudit.yaml", "--from", from, "--to", to); err != nil {
			return err
		}
		return ktaudit("log", "append", "--config", "ktaudit.yaml")
	}
	a.write("log.key", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	a.write("ktaudit.yaml", `audit_store: ./audit
serve: {listen: ":8443"}
verdict_log: {origin: auditor.example.org, key: {file: log.key}}
namespaces:
  - {namespace: example, log_directory: ./log, settle: none}
`)
	if err := audit("1", "2"); err != nil {
		t.Fatal(err)
	}
	s := a.serve("--redis", "redis://127.0.0.1:1") // there need be none
	site := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(a.dir, "site"))))
	defer site.Close()
	served := "http://" + s.api
	testservers.Browser(t, "serve.mjs", map[string]any{
		"base": served + "/", "static": site.URL + "/", "origins": []string{served, site.URL}, "log": "example", "head": 2,
	}, func(what string) error {
		if what == "publish" {
			return ktaudit("publish", "--config", "ktaudit.yaml", "--output", "site")
		}
		return audit("3", "3")
	})
	s.end()
}
