package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHealth asks servers of every kind. What a real process answers is in TestListen.
func TestHealth(t *testing.T) {
	t.Parallel()
	serve := func(handler http.HandlerFunc) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	good := serve(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok", r.URL.Path) })
	_, goodPort, _ := net.SplitHostPort(good)
	unready := serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "redis: \x1b[31mnot reachable\nrest: ok\n")
	})
	silent := serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	moved := serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://"+good, http.StatusFound) })
	endless := serve(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 4<<10))
		}
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	file := filepath.Join(t.TempDir(), "ktaudit.yaml")
	const logs = "audit_store: ./audit\nnamespaces: [{preset: whatsapp-v2}]\n"
	bare := filepath.Join(t.TempDir(), "bare.yaml")
	for path, content := range map[string]string{file: "listen: 0.0.0.0:" + goodPort + "\n" + logs, bare: logs} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"alive", []string{"--listen", good}, exitGood, "ok /healthz\n"},
		{"ready", []string{"--listen", good, "--ready"}, exitGood, "ok /readyz\n"},
		{"any host is this one", []string{"--listen", ":" + goodPort}, exitGood, "ok /healthz\n"},
		{"of the configuration", []string{"--config", file}, exitGood, "ok /healthz\n"},
		{"the flag comes first", []string{"--config", bare, "--listen", good}, exitGood, "ok /healthz\n"},
		{"json", []string{"--listen", good, "--json"}, exitGood, `"healthy":true,"status":200,"answer":"ok /healthz\n"}`},
		{"not ready, but alive", []string{"--listen", unready}, exitGood, "rest: ok\n"},
		{"not ready", []string{"--listen", unready, "--ready"}, exitFound, "answers with status 503:\nredis: "},
		{"silent", []string{"--listen", silent, "--timeout", "50ms"}, exitFound, "does not answer: no answer within 50ms"},
		{"endless", []string{"--listen", endless}, exitGood, ""},
		{"moved", []string{"--listen", moved}, exitFound, "status 302"},
		{"nobody", []string{"--listen", closed.Addr().String()}, exitFound, "connection refused"},
		{"nobody, as JSON", []string{"--listen", closed.Addr().String(), "--json"}, exitFound, `"healthy":false,"error":"dial tcp`},
		{"no address", nil, exitFailed, "give --listen"},
		{"no address in the file", []string{"--config", bare}, exitFailed, "has no listen"},
		{"no file", []string{"--config", "none.yaml"}, exitFailed, "none.yaml"},
		{"no port", []string{"--listen", "127.0.0.1:0"}, exitFailed, "names no port"},
		{"no address at all", []string{"--listen", "9464"}, exitFailed, "is not an address"},
		{"no time", []string{"--listen", good, "--timeout", "0s"}, exitFailed, "leaves no time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			status := execute(t.Context(), append([]string{"health"}, c.args...), &stdout, &stderr)
			if out := stdout.String() + stderr.String(); status != c.status || !strings.Contains(out, c.want) || strings.Contains(out, "\x1b") {
				t.Errorf("exit status %d, want %d with %q:\n%.500s", status, c.status, c.want, out)
			}
		})
	}
}
