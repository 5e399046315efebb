package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/reload"
)

// TestTargetSecretsAreReadAgain: a target whose address is a secret in a file sends to the new one
// once that has changed, and to the last good one while the file cannot be read.
func TestTargetSecretsAreReadAgain(t *testing.T) {
	t.Parallel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.URL.Path) }))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "url")
	write := func(url string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(url), 0o600); err != nil {
			t.Fatal(err)
		}
		reload.Now() // as SIGHUP does
	}
	write(server.URL + "/one")
	settings, err := config.Parse("test", []byte("alerts: {slack: [{url_file: "+file+"}]}\naudit_store: ./audit\nnamespaces: [{preset: messenger}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := newAlertTargets(settings)
	if err != nil || len(made.all) != 1 {
		t.Fatal(made, err)
	}
	name := made.all[0].Name
	for _, url := range []string{server.URL + "/one", server.URL + "/two", "no URL"} {
		write(url)
		if err := made.all[0].Send(t.Context(), []alert.Alert{{Kind: alert.Test, Severity: alert.Warning, Namespace: "example"}}); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"/one", "/two", "/two"}; !slices.Equal(asked, want) || made.all[0].Name != name {
		t.Errorf("sent to %q, want %q", asked, want)
	}
}
