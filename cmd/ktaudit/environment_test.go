package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEmptyVariables: every command reads its command line as if the variables of all flags were
// unset where they are empty.
func TestEmptyVariables(t *testing.T) {
	var c cli
	parser, err := newParser(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		read cli
		err  string
	}
	readAll := func() map[string]result {
		all := map[string]result{}
		for _, leaf := range parser.Model.Leaves(false) {
			c = cli{}
			_, err := parse(parser, strings.Fields(commandOf(leaf)))
			all[leaf.Path()] = result{c, fmt.Sprint(err)}
		}
		return all
	}
	variables := map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		for _, group := range leaf.AllFlags(false) {
			for _, flag := range group {
				for _, name := range flag.Envs {
					variables[name] = true
				}
			}
		}
	}
	unset := readAll()
	if len(unset) < 30 || !variables["KTAUDIT_REDIS"] || !variables["PLEXI_NAMESPACE"] || !variables["KTAUDIT_CONCURRENCY"] {
		t.Fatalf("only %d commands and these variables: %v", len(unset), variables)
	}
	for name := range variables {
		t.Setenv(name, "")
	}
	if reflect.DeepEqual(readAll(), unset) {
		t.Error("kong takes empty variables for unset ones by itself now")
	}
	ignoreEmptyVariables()
	for path, got := range readAll() {
		if want := unset[path]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: with empty variables it is read as\n%+v\nwant\n%+v", path, got, want)
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
