package config

import (
	"io"
	"os"

	"github.com/ktaudit/ktaudit/internal/strictyaml"
)

// MaxFileBytes bounds a file. A log takes some 50 YAML tokens, so there is room for hundreds of
// logs.
const MaxFileBytes = strictyaml.MaxFileBytes

// Problem is one thing that is wrong with a configuration, or odd about it. Problems are all of
// them, in the order of the file's lines; Parse and Validate return it as their error.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// Load reads and parses a file. Paths in it are relative to the working directory, not to the file.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse reads a configuration. The name stands for the file in errors, which are Problems.
func Parse(name string, text []byte) (*Config, error) {
	c := Default()
	source, problems, err := strictyaml.Decode(name, text, &c, "see docs/ktaudit.example.yaml")
	if err != nil {
		return nil, err
	}
	c.source = source
	c.complete()
	c.validate(problems)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// YAML returns the configuration as a file that sets every field, also those set by a preset or by
// default. It contains no secrets, and Parse reads it as c again.
func (c *Config) YAML() string { return strictyaml.Encode(*c) }
