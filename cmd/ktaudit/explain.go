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
	return `Says what a reason of a rejection or a kind of alert means, how it can come about innocently, and what to do. Reads nothing
but its arguments.

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

// printExplained prints all of a text but its title.
func (a *app) printExplained(t explain.Text) {
	a.printf("\nWhat it means:\n  %s\n\nHow it can come about innocently:\n  %s\n\nWhat to do:\n  %s\n", t.Means, t.Benign, t.Actions)
}
