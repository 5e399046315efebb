package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
)

// maxProblems is how many problems are kept; more are only counted. A file that is not a
// configuration at all has one per line.
const maxProblems = 50

// maxMessage bounds a message, which may repeat a value.
const maxMessage = 500

// Problem is one thing that is wrong with a configuration, or odd about it.
type Problem struct {
	// File, Line and Column are its place; lines and columns start at 1. They are empty if the
	// Config was not read from a file.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Path is the field, such as namespaces[1].backfill[0].to; empty for the file as a whole.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// String returns one line, file:line:column: path: message.
func (p Problem) String() string {
	var where strings.Builder
	if p.File != "" {
		where.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&where, "%d:%d:", p.Line, p.Column)
		}
		where.WriteString(" ")
	}
	if p.Path != "" {
		where.WriteString(p.Path + ": ")
	}
	return where.String() + p.Message
}

// Problems are all problems of a configuration, in the order of its lines. Parse and Validate
// return it as their error.
type Problems []Problem

// Error returns one line for each problem, below a headline if there are several.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].String()
	}
	var list strings.Builder
	fmt.Fprintf(&list, "the configuration has %d problems:", len(p))
	for _, problem := range p {
		list.WriteString("\n" + problem.String())
	}
	return list.String()
}

// position is a place in the file, from 1.
type position struct{ line, column int }

// collector gathers problems.
type collector struct {
	file    string
	list    Problems
	blamed  map[string]bool // fields that need no further problem, by path
	skipped int
}

func (c *collector) add(at position, path, format string, args ...any) {
	if len(c.list) == maxProblems {
		c.skipped++
		return
	}
	message := text.Cut(fmt.Sprintf(format, args...), maxMessage)
	c.list = append(c.list, Problem{c.file, at.line, at.column, path, message})
}

// blame suppresses further problems with the field and with everything in it, which may be
// consequences.
func (c *collector) blame(path string) {
	if c.blamed == nil {
		c.blamed = map[string]bool{}
	}
	c.blamed[path] = true
}

// isBlamed reports whether the field, or anything that it is part of, is blamed.
func (c *collector) isBlamed(path string) bool {
	for !c.blamed[path] {
		if path == "" {
			return false
		}
		path = parent(path)
	}
	return true
}

// parent returns the path of what a field is part of; empty for the whole file.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// err returns the problems as an error, or nil if there are none.
func (c *collector) err() error {
	if len(c.list) == 0 {
		return nil
	}
	sorted := slices.Clone(c.list)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if c.skipped > 0 {
		sorted = append(sorted, Problem{File: c.file, Message: fmt.Sprintf("and %d more problems", c.skipped)})
	}
	return sorted
}

// position returns where a field stands, or where what it is part of stands if it was left out.
func (c *Config) position(path string) position {
	for {
		if at, ok := c.positions[path]; ok {
			return at
		}
		if path == "" {
			return position{}
		}
		path = parent(path)
	}
}

// given reports whether the file itself sets the field, rather than a default or a preset.
func (c *Config) given(path string) bool {
	_, ok := c.positions[path]
	return ok
}
