package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// newConsole writes log lines for people: what happened first, and of the fields those that say
// something to whoever watches. JSON lines have them all.
func newConsole(w io.Writer, color bool) io.Writer {
	return zerolog.ConsoleWriter{
		Out: w, NoColor: !color, TimeFormat: time.TimeOnly,
		FormatPrepare: func(event map[string]any) error {
			simplify(event)
			return nil
		},
	}
}

// notForPeople are fields of lines about an epoch that matter to programs only.
var notForPeople = []string{
	"outcome", "inserted", "unchanged", "bytes", "stored_bytes", "compression", "signature", "digest", "previous_digest",
	"attempt", "passes",
}

// simplify makes a line about an epoch as short as "epoch 60 REJECTED overlapping_labels", and
// leaves others as they are, but for their times to a fraction of a second.
func simplify(event map[string]any) {
	for name := range event {
		if strings.HasSuffix(name, "_seconds") {
			delete(event, name)
		}
	}
	message, _ := event[zerolog.MessageFieldName].(string)
	epoch, known := event["epoch"].(json.Number)
	what, about := strings.CutPrefix(message, "epoch ")
	if !about || !known {
		return
	}
	for _, name := range notForPeople {
		delete(event, name)
	}
	delete(event, "epoch")
	if verb, rest, _ := strings.Cut(what, " "); verb == "rejected" {
		what = strings.TrimSpace("REJECTED " + rest)
	}
	line := fmt.Sprintf("epoch %s %s", epoch, what)
	if reason, ok := event["reason"].(string); ok {
		line += " " + reason
		delete(event, "reason")
	}
	if kind, ok := event["tampered"].(string); ok {
		line += ", tampered with: " + kind
		delete(event, "tampered")
	}
	event[zerolog.MessageFieldName] = line
}
