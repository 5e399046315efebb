package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// jsonCommands are the commands whose JSON programs read, with the transcript in testdata/json that
// pins it.
var jsonCommands = map[string]string{
	"verify": "verify", "run": "run", "status": "status", "show": "show", "head": "seal", "chain": "chain", "seal": "seal", "seal --check": "seal",
	"reverify": "reverify", "enqueue": "queue", "retry": "queue", "pause": "queue", "resume": "queue",
	"config check": "config", "alert test": "alert", "incidents": "incidents", "incidents show": "incidents", "incidents ack": "incidents", "explain": "explain",
	"audit": "audit", "ls": "audit", "local-audit": "audit", "simulate": "simulate", "demo": "demo", "version": "version", "export": "export", "publish": "publish",
	"keygen": "keygen", "log append": "log", "log show": "log", "log check": "log", "log absent": "log",
	"prove": "prove", "check": "prove", "statement": "prove",
}

// prose is what only people read. It may be put in other words.
var prose = regexp.MustCompile(`("(?:message|error|queue_note|lag_note|log_note|why|title|means|signature_error|proof_error|benign|actions)":)"(?:[^"\\]|\\.)*"`)

// TestJSON plays the transcripts in testdata/json. What a command prints with --json is an
// interface: names of fields and their order, which fields are left out when they are empty, and
// values stay as they are.
func TestJSON(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/json/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var wanted []string
	for command, name := range jsonCommands {
		file := filepath.Join("testdata", "json", name+".txt")
		wanted = append(wanted, file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		// The command's words come first; --json and --check may stand anywhere after them.
		words, flag, _ := strings.Cut(command, " --")
		shown := regexp.MustCompile(`(?m)ktaudit ` + words + ` [^;|]*--` + flag + `.*2>/dev/null\n> \{`)
		if !shown.Match(text) || !strings.Contains(string(text), "--json") {
			t.Errorf("%s has no JSON of ktaudit %s", file, command)
		}
	}
	for _, file := range files {
		if !slices.Contains(wanted, file) {
			t.Errorf("%s is no command's", file)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			compareTranscript(t, file, func(got string) string {
				for line := range strings.Lines(got) {
					if printed, ok := strings.CutPrefix(line, "> "); ok && !json.Valid([]byte(unscrubbed.Replace(printed))) {
						t.Errorf("not JSON: %s", printed)
					}
				}
				return prose.ReplaceAllString(got, `${1}"PROSE"`)
			})
		})
	}
}

// unscrubbed puts a number where scrubs put a word.
var unscrubbed = strings.NewReplacer("_seconds\":SECONDS", "_seconds\":0")
