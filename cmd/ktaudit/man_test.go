package main

import (
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func newManPage(t *testing.T) string {
	t.Helper()
	var c cli
	parser, err := newParser(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return manPage(parser.Model.Node)
}

// TestManPage looks for what a page must have.
func TestManPage(t *testing.T) {
	t.Parallel()
	page := newManPage(t)
	at := 0
	for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "FLAGS OF EVERY COMMAND", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES"} {
		i := strings.Index(page[at:], `.SH "`+section+"\"\n")
		if i < 0 {
			t.Fatalf("no section %s where it belongs", section)
		}
		at += i
	}
	for _, want := range []string{
		`.SS "ktaudit verify"`, `.SS "ktaudit config check"`, `\fB\-\-audit\-store=URL\fR`, "Variable: \\%KTAUDIT_AUDIT_STORE.\n",
		"ktaudit demo \\-\\-tamper 17=rewrite\n", `\fB\-h, \-\-help\fR`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, unwanted := range []string{"__complete", "${tamper", "${presets"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page has %q", unwanted)
		}
	}
	requests := regexp.MustCompile(`^(\.(TH|SH|SS|PP|TP|RS|RE|nf|fi|br|B)\b|[^.'])`)
	for line := range strings.Lines(page) {
		if !requests.MatchString(line) {
			t.Errorf("line is no request of a man page, nor text: %q", line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
			t.Errorf("line is not ASCII: %q", line)
		}
	}
}

// TestManPageIsRead has the page read by the programs that read man pages, where they are
// installed, with all their warnings.
func TestManPageIsRead(t *testing.T) {
	t.Parallel()
	page := newManPage(t)
	for _, reader := range [][]string{
		{"groff", "-man", "-ww", "-Tascii", "-P-cbou"},
		{"mandoc", "-man", "-Tlint", "-Werror"},
	} {
		t.Run(reader[0], func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(reader[0]); err != nil {
				t.Logf("%s is not here: TestManPage has looked at the page's structure", reader[0])
				return
			}
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), reader[0], reader[1:]...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(page), &stdout, &stderr
			if err := cmd.Run(); err != nil || stderr.Len() > 0 {
				t.Errorf("%v, and it says:\n%s", err, stderr.String())
			}
			if reader[0] == "groff" && !strings.Contains(stdout.String(), "--audit-store=URL") {
				t.Errorf("it shows no --audit-store=URL:\n%.2000s", stdout.String())
			}
		})
	}
}

func TestRoffEscapes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ prose, want string }{
		"a request is none":    {".so /etc/passwd\n'br", ".PP\n\\&.so /etc/passwd\n\\(aqbr\n"},
		"backslash":            {`a \fB b`, ".PP\na \\efB b\n"},
		"not ASCII":            {"b7f8… ≤", ".PP\nb7f8... \\[u2264]\n"},
		"paragraphs":           {"one\ntwo\n\nthree", ".PP\none\ntwo\n.PP\nthree\n"},
		"example between them": {"one:\n  a --b\n    c\n\ntwo", ".PP\none:\n.RS 4\n.nf\na \\-\\-b\n  c\n.fi\n.RE\n.PP\ntwo\n"},
		"nothing":              {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p roff
			if p.prose(c.prose); p.String() != c.want {
				t.Errorf("%q, want %q", p.String(), c.want)
			}
		})
	}
}
