package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/explain"
)

// What the runbook and alerts tell people to run, at three in the morning, is in the grammar:
// commands in blocks as they stand, those in sentences as far as they go.
func TestRunbookCommandsAreInTheGrammar(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`(?m)^ktaudit .*`).FindAllString(string(data), -1)
	if len(whole) < 2*len(explain.Words()) {
		t.Fatalf("the runbook has only %d commands", len(whole))
	}
	var c cli
	parser, err := newParser(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	inGrammar := func(command string) error { // whose words have no spaces in them
		words := strings.Fields(strings.NewReplacer(`"`, "", "EPOCH", "17", "FILE", "runbook_test.go").Replace(command))
		_, err := parse(parser, words[1:])
		return err
	}
	values := explain.Values{Config: "ktaudit.yaml", Namespace: "example.log.v1", Incident: "rejected/000000000017", Epoch: 17}
	for _, word := range explain.Words() {
		explained, _ := explain.Of(word)
		whole = append(whole, explained.CommandsFor(values)...)
	}
	for _, command := range whole {
		command, _, _ = strings.Cut(command, " #")
		if err := inGrammar(command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	for _, match := range regexp.MustCompile("`(ktaudit [^`]*)`").FindAllStringSubmatch(string(data), -1) {
		err := inGrammar(match[1])
		if err != nil && !strings.Contains(err.Error(), "missing ") && !strings.Contains(err.Error(), "expected ") {
			t.Errorf("%s: %v", match[1], err)
		}
	}
}
