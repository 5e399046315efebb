package metrics

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestDebug(t *testing.T) {
	t.Parallel()
	s, err := ServeDebug(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for path, want := range map[string]string{
		"/metrics":                       "go_sched_latencies_seconds_bucket", // not among those of Serve
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "TestDebug",
		"/debug/pprof/cmdline":           "metrics.test",
	} {
		if status, body := get(t, s, path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q:\n%.500s", path, status, want, body)
		}
	}
	gzip := []byte{0x1f, 0x8b}
	for _, path := range []string{"/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
		if status, body := get(t, s, path); status != 200 || !bytes.HasPrefix([]byte(body), gzip) {
			t.Errorf("%s: %d, no profile:\n%.500s", path, status, body)
		}
	}
	if status, _ := get(t, s, "/readyz"); status != 404 {
		t.Errorf("/readyz: %d: probes belong to the other address", status)
	}
	if _, err := ServeDebug(t.Context(), s.Address(), zerolog.Nop()); err == nil {
		t.Error("an address that is taken is served")
	}
}
