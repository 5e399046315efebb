package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/alecthomas/kong"
)

// What a command understands and says does not depend on how much of the grammar was read.
func TestEachCommandHasItsWholeGrammar(t *testing.T) {
	t.Parallel()
	var c cli
	whole, err := newParser(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	say := func(grammar any, args ...string) string {
		var said bytes.Buffer
		parser, err := newParser(grammar, &said, &said)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(parser, args); err != nil && err != errHelpShown {
			said.WriteString(usageError(err).Error())
		}
		return said.String()
	}
	var check func(node *kong.Node, path ...string)
	parts := 0
	check = func(node *kong.Node, path ...string) {
		for _, flags := range [][]string{{"--help"}, {"--no-such-flag"}, {"--log-format=none"}, {"nonsense", "--json"}} {
			args := append(append([]string{}, path...), flags...)
			grammar, common := grammarFor(args[0])
			if _, isWhole := grammar.(*cli); !isWhole {
				parts++
			}
			if common == nil {
				t.Fatalf("%v has no common flags", path)
			}
			if got, want := say(grammar, args...), say(&cli{}, args...); got != want {
				t.Errorf("%v says\n%s\nand with the whole grammar\n%s", args, got, want)
			}
		}
		for _, child := range node.Children {
			check(child, append(path[:len(path):len(path)], child.Name)...)
		}
	}
	for _, command := range whole.Model.Children {
		check(command, command.Name)
	}
	if parts < 100 {
		t.Errorf("only %d command lines were read with a part of the grammar", parts)
	}
	if grammar, _ := grammarFor("verfiy"); grammar.(*cli) == nil {
		t.Error("a misspelt command is not looked for among all")
	}
}

// The common flags arrive, whichever grammar read them.
func TestCommonFlagsArrive(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"version", "man"} {
		grammar, common := grammarFor(word)
		parser, err := newParser(grammar, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(parser, []string{word, "--json", "--log-level", "debug"}); err != nil {
			t.Fatal(err)
		}
		if !common.JSON || common.LogLevel != "debug" || common.LogFormat != "auto" {
			t.Errorf("%s: %+v", word, common)
		}
	}
}
