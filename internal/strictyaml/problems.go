package strictyaml

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
)

// MaxProblems is how many problems are kept; more are only counted. A file that is not a
// configuration at all has one per line.
const MaxProblems = 50

// MaxMessage bounds a message, which may repeat a value.
const MaxMessage = 500

// Problem is one thing that is wrong with a configuration, or odd about it.
type Problem struct {
	// File, Line and Column are its place; lines and columns start at 1. They are empty for
	// settings that were not read from a file.
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

// Problems are all problems of a configuration, in the order of its lines. Err returns
// it.
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

// Source says where in its file each setting stands. Nil is the source of settings that were not
// read from a file.
type Source struct {
	file      string
	positions map[string]position
}

func (s *Source) name() string {
	if s == nil {
		return ""
	}
	return s.file
}

// Given reports whether the file itself sets the field, rather than a default.
func (s *Source) Given(path string) bool {
	if s == nil {
		return false
	}
	_, ok := s.positions[path]
	return ok
}

// Place returns where a field stands, for an error that is found later, such as
// "ktaudit.yaml:3:8: redis"; empty for a Source that was not read from a file.
func (s *Source) Place(path string) string {
	if s == nil {
		return ""
	}
	at := s.position(path)
	return strings.TrimSuffix(Problem{s.file, at.line, at.column, path, ""}.String(), ": ")
}

// Paths returns the path of everything that the file sets.
func (s *Source) Paths() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.positions))
}

// position returns where a field stands, or where what it is part of stands if it was left out.
func (s *Source) position(path string) position {
	if s == nil {
		return position{}
	}
	for {
		if at, ok := s.positions[path]; ok {
			return at
		}
		if path == "" {
			return position{}
		}
		path = parent(path)
	}
}

// Collect returns an empty collection of problems with these settings.
func (s *Source) Collect() *Collector { return &Collector{source: s} }

// Collector gathers problems.
type Collector struct {
	source  *Source
	list    Problems
	blamed  map[string]bool // fields that need no further problem, by path
	skipped int
}

// Add adds a problem with the field, where it stands or should.
func (c *Collector) Add(path, format string, args ...any) {
	c.add(c.source.position(path), path, format, args...)
}

// Must adds a problem with the field unless ok, and unless it has one already.
func (c *Collector) Must(path string, ok bool, format string, args ...any) {
	if !ok && !c.IsBlamed(path) {
		c.Add(path, format, args...)
		c.Blame(path)
	}
}

func (c *Collector) add(at position, path, format string, args ...any) {
	if len(c.list) == MaxProblems {
		c.skipped++
		return
	}
	message := text.Cut(fmt.Sprintf(format, args...), MaxMessage)
	c.list = append(c.list, Problem{c.source.name(), at.line, at.column, path, message})
}

// Blame suppresses further problems with the field and with everything in it, which may be
// consequences.
func (c *Collector) Blame(path string) {
	if c.blamed == nil {
		c.blamed = map[string]bool{}
	}
	c.blamed[path] = true
}

// IsBlamed reports whether the field, or anything that it is part of, is blamed.
func (c *Collector) IsBlamed(path string) bool {
	for !c.blamed[path] {
		if path == "" {
			return false
		}
		path = parent(path)
	}
	return true
}

// List returns the problems in the order in which they were added.
func (c *Collector) List() []Problem { return c.list }

// parent returns the path of what a field is part of; empty for the whole file.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// Err returns the problems as an error, or nil if there are none.
func (c *Collector) Err() error {
	if len(c.list) == 0 {
		return nil
	}
	sorted := slices.Clone(c.list)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if c.skipped > 0 {
		sorted = append(sorted, Problem{File: c.source.name(), Message: fmt.Sprintf("and %d more problems", c.skipped)})
	}
	return sorted
}
