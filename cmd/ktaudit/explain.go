package main

import (
	"fmt"

	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/internal/spelling"
)

type explainCmd struct {
	Word string `arg:"" optional:"" name:"word" help:"A reason, such as digest_mismatch, or a kind of alert, such as contradiction. Without it all are listed."`
}

func (explainCmd) Help() string {
	return `Says what a reason of a rejection or a kind of alert means, how bad that is, how it can come about innocently, what to do, with
which commands, and when it is over. docs/runbook.md has the same for all of them. Reads nothing but its arguments.

Examples:
  ktaudit explain
  ktaudit explain overlapping_labels
  ktaudit explain skipped --json`
}

// Run explains a word, or lists all.
func (c explainCmd) Run(a *app) error {
	if c.Word == "" {
		return a.listWords()
	}
	t, ok := explain.Of(c.Word)
	if !ok {
		hint := "`ktaudit explain` lists all reasons and kinds"
		if word := spelling.Closest(c.Word, explain.Words()); word != "" {
			hint = "did you mean " + word + "?"
		}
		return fmt.Errorf("%q is no reason and no kind of alert: %s", c.Word, hint)
	}
	if a.json {
		return a.object(t)
	}
	a.printf("%s\n", t.Title)
	a.printExplained(t)
	a.printCommands(t.Commands)
	return nil
}

func (a *app) listWords() error {
	for _, word := range explain.Words() {
		t, _ := explain.Of(word)
		if a.json {
			if err := a.object(t); err != nil {
				return err
			}
			continue
		}
		a.printf("%-26s %s\n", word, t.Title)
	}
	return nil
}

// printExplained prints all of a text but its title and its commands.
func (a *app) printExplained(t explain.Text) {
	for _, part := range []struct{ heading, text string }{
		{"What it means", t.Means},
		{"How bad it is", t.HowBad},
		{"How it can come about innocently", t.Benign},
		{"What to do", t.Actions},
		{"When it is over", t.Ends},
	} {
		a.printf("\n%s:\n  %s\n", part.heading, part.text)
	}
}

// printCommands prints what to run next.
func (a *app) printCommands(commands []string) {
	a.printf("\nCommands:\n")
	for _, c := range commands {
		a.printf("  %s\n", c)
	}
}
