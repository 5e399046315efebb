package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Each part of the document that this program writes stands between two marks with the part's name.
// People write outside them, and a part that was not measured stays as it is.
func beginMark(name string) string { return "<!-- scripts/bench " + name + ": begin -->\n" }
func endMark(name string) string   { return "<!-- scripts/bench " + name + ": end -->\n" }

// rewriteDocument puts text between the marks of a part of the file, or at its end if it has none.
func rewriteDocument(file, name, text string) error {
	old, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte("# Performance\n"), nil
	}
	if err != nil {
		return err
	}
	changed, err := rewritePart(old, name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, changed, 0o644)
}

func rewritePart(document []byte, name, text string) ([]byte, error) {
	part := []byte(beginMark(name) + text + endMark(name))
	before, rest, begun := bytes.Cut(document, []byte(beginMark(name)))
	_, after, ended := bytes.Cut(rest, []byte(endMark(name)))
	switch {
	case !begun:
		before = append(bytes.TrimRight(document, "\n"), "\n\n"...)
	case !ended:
		return nil, fmt.Errorf("the mark that ends %q is missing", name)
	}
	return bytes.Join([][]byte{before, after}, part), nil
}
