package main

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEmptyVariables: every command reads its command line as if the variables of all flags were
// unset where they are empty.
func TestEmptyVariables(t *testing.T) {
	read := func(args []string) (*cli, string) {
		var c cli
		parser, err := newParser(&c, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = parse(parser, args); err != nil && !errors.Is(err, errHelpShown) {
			return &c, err.Error()
		}
		return &c, ""
	}
	parser, err := newParser(&cli{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		c   *cli
		err string
	}
	unset, variables := map[string]result{}, map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		path := leaf.Path()
		c, err := read(strings.Fields(commandOf(leaf)))
		unset[path] = result{c, err}
		for _, group := range leaf.AllFlags(false) {
			for _, flag := range group {
				for _, name := range flag.Envs {
					variables[name] = true
				}
			}
		}
	}
	if len(unset) < 30 || !variables["KTAUDIT_REDIS"] || !variables["PLEXI_NAMESPACE"] || !variables["KTAUDIT_CONCURRENCY"] {
		t.Fatalf("only %d commands and these variables: %v", len(unset), variables)
	}
	for name := range variables {
		t.Setenv(name, "")
	}
	ignoreEmptyVariables()
	for _, leaf := range parser.Model.Leaves(false) {
		c, err := read(strings.Fields(commandOf(leaf)))
		if want := unset[leaf.Path()]; err != want.err || !reflect.DeepEqual(c, want.c) {
			t.Errorf("%s: with empty variables it is read as\n%+v, %s\nwant\n%+v, %s", leaf.Path(), c, err, want.c, want.err)
		}
	}
}

// commandOf is a node's words on the command line, without arguments.
func commandOf(node *kong.Node) string {
	words := ""
	for ; node.Parent != nil; node = node.Parent {
		words = node.Name + " " + words
	}
	return words
}
