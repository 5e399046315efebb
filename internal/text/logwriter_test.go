package text_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/rs/zerolog"
)

func TestLogWriter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 62<<10)
	for _, c := range []struct {
		name string
		log  func(zerolog.Logger)
		want string // "…" alone stands for anything
	}{
		{"plain", func(l zerolog.Logger) { l.Info().Uint64("epoch", 7).Str("key", `7/ä "b" \`).Msg("read") },
			`{"level":"info","epoch":7,"key":"7/ä \"b\" \\","message":"read"}`},
		{"a terminal's command", func(l zerolog.Logger) { l.Warn().Err(errors.New("\x1b[2J\nnext\u202e")).Int("n", 3).Msg("a\tb") },
			`{"level":"warn","error":"\\x1b[2J\\nnext\\u202e","n":3,"message":"a\\tb"}`},
		{"in a list", func(l zerolog.Logger) { l.Info().Strs("keys", []string{"a", "\u202e"}).Bool("b", true).Msg("") },
			`{"level":"info","keys":"[\"a\",\"\\u202e\"]","b":true}`},
		{"not UTF-8", func(l zerolog.Logger) { l.Info().Str("s", "\xff\x9b").Msg("") }, "…"},
		{"long", func(l zerolog.Logger) { l.Error().Err(errors.New(long)).Str("other", long).Msg("said " + long) }, "…"},
		{"a stack", func(l zerolog.Logger) { l.Error().Bytes("stack", []byte(strings.Repeat("a\n\tb", 9000))).Msg("panic") }, "…"},
		{"many fields", func(l zerolog.Logger) {
			e := l.Info()
			for range 5000 {
				e = e.Str(long[:9], "y")
			}
			e.Msg("")
		}, "…"},
	} {
		for _, console := range []bool{false, true} {
			var out bytes.Buffer
			if console {
				c.log(zerolog.New(text.NewLogWriter(zerolog.ConsoleWriter{Out: &out, NoColor: true}, 1<<10)))
			} else {
				c.log(zerolog.New(text.NewLogWriter(&out, 1<<10)))
			}
			got := strings.TrimSuffix(out.String(), "\n")
			if len(got) > 1<<10 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\x1b\u202e\t\x7f\u009b") {
				t.Errorf("%s: %d bytes: %.300q", c.name, len(got), got)
			}
			if console {
				continue
			}
			if !json.Valid([]byte(got)) || !strings.HasPrefix(got, `{"level":"`) {
				t.Errorf("%s: no log line: %.300s", c.name, got)
			}
			if c.want != "…" && got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
	}
	var out bytes.Buffer
	if n, err := text.NewLogWriter(&out, 300).Write([]byte("no JSON \x1b\n")); n != 10 || err != nil || out.String() != `{"message":"no JSON \\x1b\\n"}`+"\n" {
		t.Errorf("%d, %v: %s", n, err, &out)
	}
}

func FuzzLogWriter(f *testing.F) {
	f.Add([]byte(`{"a":"\u202e","b":[1,{"c":"\n"}]}`), "x\x1b\u2066", 300)
	f.Fuzz(func(t *testing.T, raw []byte, s string, limit int) {
		limit = max(256, min(limit, 4000))
		var out bytes.Buffer
		if n, err := text.NewLogWriter(&out, limit).Write(raw); n != len(raw) || err != nil {
			t.Fatal(n, err)
		}
		out.WriteByte('\n') // raw may have none
		log := zerolog.New(text.NewLogWriter(&out, limit))
		log.Warn().Str(s, s).Err(errors.New(s)).Msg(s)
		for line := range strings.Lines(out.String()) {
			if len(line) > limit || text.Clean(strings.TrimSuffix(line, "\n"), limit) != strings.TrimSuffix(line, "\n") {
				t.Fatalf("%d bytes: %q", len(line), line)
			}
		}
	})
}
