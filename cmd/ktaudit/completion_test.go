package main

import (
	"io"
	"os/exec"
	"slices"
	"testing"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	var c cli
	parser, err := newParser(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		words []string
		want  []string
	}{
		{"commands", []string{"ver"}, []string{"verify", "version"}},
		{"hidden commands stay hidden", []string{"__"}, nil},
		{"flags of a command", []string{"status", "--audit"}, []string{"--audit-store"}},
		{"flags of all commands", []string{"version", "--js"}, []string{"--json"}},
		{"values of a flag", []string{"simulate", "--compression", "z"}, []string{"zstd"}},
		{"values of a flag, after what bash takes for a word", []string{"simulate", "--compression", "=", "z"}, []string{"zstd"}},
		{"all values of a flag, likewise", []string{"export", "--format", "="}, []string{"csv", "jsonl"}},
		{"values of a flag, in one word", []string{"simulate", "--compression=z"}, []string{"--compression=zstd"}},
		{"free values, in one word", []string{"run", "--audit-store=a"}, nil},
		{"presets", []string{"run", "--preset", "whatsapp-"}, []string{"whatsapp-v1", "whatsapp-v2"}},
		{"after a flag, what bash takes for a word, and its value", []string{"--log-level", "=", "info", "work"}, []string{"worker"}},
		{"after a flag with its value", []string{"--log-level=info", "work"}, []string{"worker"}},
		{"after a flag and its value", []string{"--log-level", "info", "work"}, []string{"worker"}},
		{"arguments from a list", []string{"completion", ""}, []string{"bash", "fish", "zsh"}},
		{"a file", []string{"verify", "some"}, nil},
		{"nothing typed yet", []string{"run", "--"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := complete(parser.Model.Node, test.words)
			if test.name == "nothing typed yet" {
				if !slices.Contains(got, "--log-directory") || !slices.Contains(got, "--json") {
					t.Errorf("complete(%q) = %q, want all flags of run", test.words, got)
				}
				return
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("complete(%q) = %q, want %q", test.words, got, test.want)
			}
		})
	}
}

// TestBashCompletion plays what bash does when Tab is pressed after "ktaudit simulate --compression
// z", and after "--compression=z".
func TestBashCompletion(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `
		source <(ktaudit completion bash)
		COMP_WORDS=(ktaudit simulate --compression z) COMP_CWORD=3
		_ktaudit
		echo "${COMPREPLY[*]}"
		COMP_WORDS=(ktaudit simulate --compression = z) COMP_CWORD=4
		_ktaudit
		echo "${COMPREPLY[*]}"`)
	cmd.Env = environment(t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "zstd\nzstd\n" {
		t.Errorf("bash completes %q, error %v, want zstd twice", out, err)
	}
}
