package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Whatever a server says, a terminal shows it as text, and a log line ends.
func TestHostileTextOnStandardError(t *testing.T) {
	t.Parallel()
	said := errors.New("listing: \x1b[2J\x1b]0;owned\a\u202eevil\u2066\r " + strings.Repeat("x", 62<<10))
	var stderr bytes.Buffer
	if status := fail(&stderr, errors.Join(said, errors.New("second line"))); status != exitFailed {
		t.Errorf("status is %d", status)
	}
	if lines := strings.Split(strings.TrimSpace(stderr.String()), "\n"); len(lines) != 2 || len(lines[0]) > maxErrorLine+20 || lines[1] != "second line" ||
		strings.ContainsAny(stderr.String(), "\x1b\a\u202e\u2066\r") {
		t.Errorf("it prints %.300q", stderr.String())
	}
	for _, format := range []string{"json", "console"} {
		stderr.Reset()
		a := newApp(globals{LogLevel: "info", LogFormat: format, NoProgress: true}, &kong.Context{}, &bytes.Buffer{}, &stderr)
		a.log.Warn().Err(said).Str("key", "7/\u202e").Msg("epoch not judged\x1b[2J")
		line := strings.TrimSuffix(stderr.String(), "\n")
		if len(line) > maxLogLine || strings.ContainsAny(line, "\n\x1b\a\u202e\u2066\r") || !strings.Contains(line, `\x1b[2J`) {
			t.Errorf("%s: %d bytes: %.300q", format, len(line), line)
		}
		if format == "json" && !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}
