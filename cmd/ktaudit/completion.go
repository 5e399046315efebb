package main

import (
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/ktaudit/ktaudit/internal/config"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return `The script asks ktaudit itself for completions, so it stays correct after an update of ktaudit.

Examples:
  source <(ktaudit completion bash)
  ktaudit completion zsh > "${fpath[1]}/_ktaudit"
  ktaudit completion fish > ~/.config/fish/completions/ktaudit.fish`
}

// Each script hands the words up to the cursor to "ktaudit __complete" and falls back to file
// names.
var completionScripts = map[string]string{
	"bash": `_ktaudit() {
  local IFS=$'\n'
  COMPREPLY=($(ktaudit __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _ktaudit ktaudit
`,
	"zsh": `#compdef ktaudit
_ktaudit() {
  local -a candidates
  candidates=("${(@f)$(ktaudit __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$candidates" ]]; then compadd -a candidates; else _files; fi
}
if [[ "$funcstack[1]" == _ktaudit ]]; then _ktaudit "$@"; else compdef _ktaudit ktaudit; fi
`,
	"fish": `function __ktaudit_complete
  set -l words (commandline --tokenize --current-process --cut-at-cursor)
  ktaudit __complete $words[2..-1] (commandline --current-token --cut-at-cursor) 2>/dev/null
end
complete --command ktaudit --arguments '(__ktaudit_complete)'
`,
}

// Run prints the script.
func (c completionCmd) Run(a *app) error {
	a.printf("%s", completionScripts[c.Shell])
	return nil
}

// completeCmd is what the scripts call.
type completeCmd struct {
	Words []string `arg:"" optional:""`
}

// Run prints the candidates for the last word, one a line.
func (c completeCmd) Run(a *app, k *kong.Kong) error {
	for _, candidate := range complete(k.Model.Node, c.Words) {
		a.printf("%s\n", candidate)
	}
	return nil
}

// complete returns the candidates for the last of words: commands, flags, or the values that a flag
// or an argument may have. It returns none where a file or a free value is wanted.
func complete(root *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	if last == "=" { // bash takes --flag=value for three words
		last = ""
	}
	node := root
	var pending *kong.Flag // the flag whose value comes next
	for _, word := range before {
		if pending != nil && word == "=" {
			continue
		}
		if pending != nil {
			pending = nil
			continue
		}
		if strings.HasPrefix(word, "-") {
			pending = flagNamed(node, word)
			continue
		}
		for _, child := range node.Children {
			if child.Name == word {
				node = child
			}
		}
	}
	var candidates []string
	switch {
	case pending != nil:
		candidates = valuesOf(pending.Value)
	case strings.HasPrefix(last, "-"):
		name, _, whole := strings.Cut(last, "=") // as other shells have it
		if !whole {
			candidates = flagNames(node)
		} else if flag := flagNamed(node, name); flag != nil {
			for _, value := range valuesOf(flag.Value) {
				candidates = append(candidates, name+"="+value)
			}
		}
	case len(node.Children) > 0:
		for _, child := range node.Children {
			if !child.Hidden {
				candidates = append(candidates, child.Name)
			}
		}
	case len(node.Positional) > 0:
		candidates = valuesOf(node.Positional[0])
	}
	var fitting []string
	for _, candidate := range candidates {
		if strings.HasPrefix(candidate, last) {
			fitting = append(fitting, candidate)
		}
	}
	sort.Strings(fitting)
	return fitting
}

// flagNamed returns the flag that word names if its value is still to come: not for --flag=value,
// not for a switch.
func flagNamed(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if "--"+flag.Name == word && !flag.IsBool() {
				return flag
			}
		}
	}
	return nil
}

func flagNames(node *kong.Node) []string {
	var names []string
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			names = append(names, "--"+flag.Name)
		}
	}
	return names
}

// valuesOf returns the values that a flag or an argument may have, if they are a fixed set.
func valuesOf(value *kong.Value) []string {
	switch {
	case value.Name == "preset":
		return config.PresetNames()
	case value.Enum != "":
		return value.EnumSlice()
	}
	return nil
}
