package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/ktaudit/ktaudit/internal/config"
)

type configCmd struct {
	Init  configInitCmd  `cmd:"" help:"Write a commented configuration file, from flags or from answers."`
	Check configCheckCmd `cmd:"" help:"Check a configuration file and list every problem."`
}

type configCheckCmd struct {
	File   string `arg:"" optional:"" help:"Configuration file. By default ktaudit.yaml, as config init writes it."`
	Config string `placeholder:"FILE" help:"The same, as other commands have it."`
	Online bool   `help:"Also try everything that the file names: Redis, the audit store, logs, signed digests, other auditors, alert targets and witnesses. Sends no alert."`
	Show   bool   `group:"output" help:"Print the configuration with all defaults and presets filled in, without secrets."`
}

func (configCheckCmd) Help() string {
	return `Exits with 0 if the file is valid and with 2 if it is not. Connects to nothing and reads no other file, but warns of files with
secrets that other users can read or write. For an annotated example see docs/ktaudit.example.yaml.

With --online it also tries what the file names, from this machine and with its credentials, half a minute each at most, and exits
with 2 if something does not work. It writes a probe to the audit store, and nothing else.

Examples:
  ktaudit config check ktaudit.yaml
  ktaudit config check --online ktaudit.yaml
  ktaudit config check --show ktaudit.yaml
  ktaudit config check --json ktaudit.yaml`
}

// checked is what config check prints with --json.
type checked struct {
	File       string           `json:"file"`
	Valid      bool             `json:"valid"`
	Problems   []config.Problem `json:"problems,omitempty"`
	Warnings   []config.Problem `json:"warnings,omitempty"`
	Namespaces []string         `json:"namespaces,omitempty"`
	Online     []onlineResult   `json:"online,omitempty"`
	Config     rawJSON          `json:"config,omitempty"`
}

// rawJSON is written as it is.
type rawJSON []byte

// MarshalJSON returns j.
func (j rawJSON) MarshalJSON() ([]byte, error) { return j, nil }

// Run checks the file.
func (c configCheckCmd) Run(ctx context.Context, a *app) error {
	c.File = cmp.Or(c.File, c.Config, "ktaudit.yaml")
	loaded, err := config.Load(c.File)
	if a.json {
		return c.json(ctx, a, loaded, err)
	}
	if err != nil {
		return err
	}
	comment := ""
	if c.Show {
		a.printf("%s", loaded.YAML())
		comment = "# " // what is shown can be used as a file
	} else {
		a.printf("%s is valid: %s\n", c.File, strings.Join(namesOf(loaded.Namespaces), ", "))
	}
	for _, w := range loaded.Warnings() {
		a.printf("%swarning: %s\n", comment, w)
	}
	if !c.Online {
		return nil
	}
	results := checkOnline(ctx, a, loaded)
	for _, r := range results {
		word := "ok"
		if !r.OK {
			word = "FAILED"
		}
		a.printf("%s%-6s %s: %s\n", comment, word, r.Setting, r.Detail)
	}
	return onlineError(ctx, results)
}

// onlineError is what the results amount to.
func onlineError(ctx context.Context, results []onlineResult) error {
	for _, r := range results {
		if !r.OK {
			return cmp.Or(ctx.Err(), errOnline)
		}
	}
	return nil
}

func (c configCheckCmd) json(ctx context.Context, a *app, loaded *config.Config, err error) error {
	result := checked{File: c.File, Valid: err == nil}
	problems, invalid := errors.AsType[config.Problems](err)
	switch {
	case invalid:
		result.Problems = problems
		err = fmt.Errorf("%s is not valid", c.File)
	case err != nil:
		return err
	default:
		result.Warnings, result.Namespaces = loaded.Warnings(), namesOf(loaded.Namespaces)
		if c.Online {
			result.Online = checkOnline(ctx, a, loaded)
		}
		if c.Show {
			if result.Config, err = yaml.YAMLToJSON([]byte(loaded.YAML())); err != nil {
				return err
			}
		}
	}
	return errors.Join(a.object(result), err, onlineError(ctx, result.Online))
}

func namesOf(namespaces []config.Namespace) []string {
	var names []string
	for _, n := range namespaces {
		names = append(names, n.Namespace)
	}
	return names
}
