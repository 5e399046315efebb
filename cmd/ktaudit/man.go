package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/ktaudit/ktaudit/internal/lanes"
)

type manCmd struct{}

func (manCmd) Help() string {
	return `The page is generated from the help texts, so it always matches this version.

Examples:
  ktaudit man | man -l -
  ktaudit man > /usr/local/share/man/man1/ktaudit.1`
}

// Run prints the page.
func (manCmd) Run(a *app, k *kong.Kong) error {
	a.printf("%s", manPage(k.Model.Node))
	return nil
}

// manPage writes the grammar as a man page.
func manPage(root *kong.Node) string {
	var p roff
	commands := visible(root)
	p.macro("TH", "KTAUDIT", "1", "", software(), "User Commands")
	p.macro("SH", "NAME")
	p.text(`ktaudit \- audits Key Transparency logs`)
	p.macro("SH", "SYNOPSIS")
	for i, command := range commands {
		if i > 0 {
			p.line(".br")
		}
		p.line(`.B ktaudit ` + escape(strings.TrimSuffix(command.Summary(), " [flags]")) + ` \fR[flags]`)
	}
	p.macro("SH", "DESCRIPTION")
	p.prose(strings.SplitN(root.Help, "\n\n", 2)[0])
	p.macro("SH", "COMMANDS")
	for _, command := range commands {
		p.macro("SS", command.FullPath())
		p.prose(command.Help)
		p.prose(command.Detail)
		for _, argument := range command.Positional {
			p.option(argument.Summary(), argument.Help, nil)
		}
		for node := command; node != root; node = node.Parent {
			p.flags(node.Flags)
		}
	}
	p.macro("SH", "FLAGS OF EVERY COMMAND")
	p.flags(root.Flags)
	p.macro("SH", "ENVIRONMENT")
	p.prose("Each flag can also be set by the variable shown with it; separate the values of repeatable flags by commas. These variables have no flag:")
	p.option(redisPasswordVariable, "The password of Redis.", nil)
	p.option(redisSentinelPasswordVariable, "The password of its Sentinels, if they have one of their own.", nil)
	p.option("KTAUDIT_SIGNING_KEY", "The signing key of a simulated log.", nil)
	p.option(lanes.Environment, "The hash implementation to use instead of the fastest one that this machine supports.", nil)
	p.option("OTEL_EXPORTER_OTLP_ENDPOINT", "The collector that receives traces, with OTLP over HTTP. By default no traces are sent.", nil)
	p.option("NO_COLOR", "Set it to turn off colours in log lines.", nil)
	p.macro("SH", "EXIT STATUS")
	p.option(fmt.Sprint(exitGood), "All good.", nil)
	p.option(fmt.Sprint(exitFound), "Something was rejected or is missing.", nil)
	p.option(fmt.Sprint(exitFailed), "The command failed: usage, I/O, configuration, an interrupt or a bug. This says nothing about the log.", nil)
	p.option(fmt.Sprint(exitShown), "verify: what a bundle claims holds only if whoever made it is believed.", nil)
	p.macro("SH", "EXAMPLES")
	p.prose("Simulate a log that rewrites a key, audit it and see the epoch rejected. This needs no setup:\n\n  ktaudit demo --tamper 17=rewrite")
	p.prose("Audit a range of a log in one process. More examples are shown with each command:\n\n" +
		"  ktaudit run --namespace example --log-directory ./log --audit-store ./audit --from 1 --to 50")
	return p.String()
}

// visible returns the commands that a user may call, in the order of the grammar.
func visible(root *kong.Node) []*kong.Node {
	var commands []*kong.Node
	for _, leaf := range root.Leaves(true) {
		if leaf.Type == kong.CommandNode {
			commands = append(commands, leaf)
		}
	}
	return commands
}

// roff is a page in the language of man pages, as groff, mandoc and all before them read it.
type roff struct{ strings.Builder }

func (p *roff) line(s string) { p.WriteString(s + "\n") }

// macro writes a request with quoted arguments.
func (p *roff) macro(name string, arguments ...string) {
	p.WriteString("." + name)
	for _, argument := range arguments {
		p.WriteString(` "` + strings.ReplaceAll(escape(argument), `"`, `\(dq`) + `"`)
	}
	p.WriteString("\n")
}

// text writes a line of text that is escaped already.
func (p *roff) text(s string) {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s // else it would be a request
	}
	p.line(s)
}

// prose writes paragraphs, which empty lines part. Indented lines are shown as they are.
func (p *roff) prose(s string) {
	if s == "" {
		return
	}
	p.line(".PP")
	example, empty := false, false
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "  ")
		switch {
		case line == "":
			empty = true
			continue
		case indented && !example:
			p.line(".RS 4\n.nf")
		case !indented && example:
			p.line(".fi\n.RE\n.PP")
		case empty:
			p.line(".PP")
		}
		example, empty = indented, false
		p.text(escape(strings.TrimPrefix(line, "  ")))
	}
	if example {
		p.line(".fi\n.RE")
	}
}

// flags writes what flags do and which variables stand for them.
func (p *roff) flags(flags []*kong.Flag) {
	for _, flag := range flags {
		if !flag.Hidden {
			p.option(flag.String(), flag.Help, flag.Envs)
		}
	}
}

// option writes a term and, below it, what it means.
func (p *roff) option(term, meaning string, variables []string) {
	p.line(".TP")
	p.line(`\fB` + escape(term) + `\fR`)
	p.text(escape(meaning))
	if len(variables) > 0 {
		p.line(`Variable: \%` + escape(strings.Join(variables, ", ")) + ".")
	}
}

// escape escapes characters that are special in roff, and writes others that are not ASCII by their
// code, which needs no encoding.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`) // stays a minus, to be copied into a shell
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString("\\`")
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '…':
			b.WriteString("...")
		case r > 126:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
