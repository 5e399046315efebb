package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"golang.org/x/term"
)

type configInitCmd struct {
	File         string `arg:"" optional:"" default:"ktaudit.yaml" help:"File to write. By default ${default}. A file that is there is never overwritten."`
	Preset       string `group:"log" placeholder:"NAME" help:"Public log to audit: ${presets}."`
	Namespace    string `group:"log" placeholder:"NAME" help:"Name of another log to audit, as it appears in signed digests."`
	LogDirectory string `group:"log" placeholder:"URL" help:"Bucket or directory where that log publishes its batches."`
	First        uint64 `group:"log" placeholder:"EPOCH" help:"First epoch to audit. By default that of the preset, or 1."`
	VerifyingKey string `group:"signatures" placeholder:"HEX" help:"Key that the log's digests are signed with. By default signatures are not checked."`
	Signatures   string `group:"signatures" placeholder:"URL" help:"Bucket or directory of the signed digests, or an auditor, plexi+https://HOST/NAMESPACE."`
	AuditStore   string `group:"store" placeholder:"URL" help:"Bucket or directory for the verdicts. By default ./audit."`
	Redis        string `group:"queue" placeholder:"URL" help:"Redis that several processes share. By default embedded, for one process."`
	Listen       string `group:"output" placeholder:"ADDRESS" help:"Address of /metrics, /healthz and /readyz, or none. By default 127.0.0.1:9464."`
	Alertmanager string `group:"output" placeholder:"URL" help:"Alertmanager to send alerts to."`
	SlackURLFile string `group:"output" placeholder:"FILE" help:"File that holds the URL of a Slack webhook to send alerts to."`
}

func (configInitCmd) Help() string {
	return `Writes a short, commented configuration file that ktaudit config check accepts, and prints what to do next. On a terminal it asks for
what no flag gives if neither --preset nor --log-directory is given. It connects to nothing and makes nothing but the file.

Examples:
  ktaudit config init
  ktaudit config init --preset whatsapp-v2 --first 1216000
  ktaudit config init my.yaml --namespace example --log-directory ./log --redis redis://localhost:6379/0 --slack-url-file slack.url`
}

// Run asks, unless flags say enough, and writes the file.
func (c configInitCmd) Run(ctx context.Context, a *app) error {
	if _, err := os.Lstat(c.File); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%s is there already and is not overwritten: give another name, or check it with `ktaudit config check %s`",
			c.File, shellWord(c.File)))
	}
	switch {
	case c.Preset != "" && (c.LogDirectory != "" || c.Namespace != ""):
		return errors.New("--preset excludes --namespace and --log-directory: give one or the other")
	case c.Preset != "" || c.LogDirectory != "":
	case term.IsTerminal(int(os.Stdin.Fd())) && isTerminal(a.out.w):
		if err := c.ask(ctx, os.Stdin, a.out); err != nil {
			return err
		}
	default:
		return errors.New("which log? Give --preset, or --namespace and --log-directory; on a terminal, ktaudit config init asks")
	}
	text, err := c.render()
	if err != nil {
		return err
	}
	if err := createFile("FILE", c.File, text); err != nil {
		return err
	}
	return c.printNext(a)
}

// render returns the file, or what is wrong with it.
func (c configInitCmd) render() ([]byte, error) {
	for _, given := range []string{
		c.Preset, c.Namespace, c.LogDirectory, c.VerifyingKey, c.Signatures, c.AuditStore, c.Redis, c.Listen, c.Alertmanager, c.SlackURLFile,
	} {
		// Of what is no UTF-8 the command line makes U+FFFD.
		if !utf8.ValidString(given) || strings.ContainsRune(given, utf8.RuneError) {
			return nil, fmt.Errorf("%.60q is not UTF-8, which no YAML can hold: give another name", given)
		}
	}
	text := []byte(c.text())
	_, err := config.Parse(c.File, text)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		var lines []string
		for _, p := range problems {
			lines = append(lines, fmt.Sprintf("%s: %s", flagOf(p.Path), p.Message))
		}
		err = errors.New(strings.Join(lines, "\n"))
	}
	return text, err
}

// flagOf returns the flag that gives a setting.
func flagOf(path string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(path, "namespaces[0]."), "_", "-")
	switch {
	case path == "namespaces":
		name = "preset"
	case strings.HasPrefix(name, "verifying-keys"):
		name = "verifying-key"
	case strings.HasPrefix(name, "alerts.alertmanager"):
		name = "alertmanager"
	case strings.HasPrefix(name, "alerts.slack"):
		name = "slack-url-file"
	}
	return "--" + name
}

// text is the file.
func (c configInitCmd) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made by `ktaudit config init`. docs/ktaudit.example.yaml has every setting, `ktaudit config check --show` their values here.")
	line("")
	line("# The log, or the logs, to audit.")
	line("namespaces:")
	if c.Preset != "" {
		line("  # A public log: the preset knows its name and its address.")
		line("  - preset: %s", quoted(c.Preset))
	} else {
		line("  # Its name, as it appears in signed digests, and the bucket or directory where it publishes its batches.")
		line("  - namespace: %s", quoted(c.Namespace))
		line("    log_directory: %s", quoted(c.LogDirectory))
	}
	line("    # The first epoch to audit. All later ones are, too: for a large log that may be terabytes.")
	if c.First != 0 {
		line("    first: %d", c.First)
	} else {
		line("    # first: %d", c.usualFirst())
	}
	line("    # The keys that its digests are signed with, and where the signed digests are. Without keys signatures are not checked.")
	if c.VerifyingKey != "" {
		line("    verifying_keys: [%s]", quoted(c.VerifyingKey))
	} else {
		line("    # verifying_keys: [d75a98…]")
	}
	if c.Signatures != "" {
		line("    signatures: %s", quoted(c.Signatures))
	} else {
		line("    # signatures: s3://example-signatures?region=eu-central-1")
	}
	line("")
	line("# Where verdicts are kept, for ever: a folder, or a bucket such as s3://example-audit?region=eu-central-1; see docs/stores.md.")
	line("audit_store: %s", quoted(c.store()))
	line("")
	line("# The queue: embedded, for one process (`ktaudit run`), or a Redis for any number of them; see docs/redis.md.")
	line("redis: %s", quoted(c.queue()))
	if c.queue() != queue.Embedded {
		line("# redis_password_file: /run/secrets/redis-password")
	}
	line("")
	line("# Who is told when an epoch is rejected, and when epochs go without a verdict.")
	switch {
	case c.Alertmanager == "" && c.SlackURLFile == "":
		line("# alerts:")
		line("#   alertmanager:")
		line("#     url: http://localhost:9093")
		line("#   slack:")
		line("#     url_file: /run/secrets/slack-url")
	default:
		line("alerts:")
	}
	if c.Alertmanager != "" {
		line("  alertmanager:")
		line("    url: %s", quoted(c.Alertmanager))
	}
	if c.SlackURLFile != "" {
		line("  slack:")
		line("    url_file: %s # it is a secret", quoted(c.SlackURLFile))
	}
	line("")
	line("# Where each process serves /metrics, /healthz and /readyz. Several on one machine need --listen, with an address each.")
	line("listen: %s", quoted(cmp.Or(c.Listen, defaultListen)))
	return b.String()
}

const defaultListen = "127.0.0.1:9464"

func (c configInitCmd) store() string { return cmp.Or(c.AuditStore, "./audit") }

func (c configInitCmd) queue() string { return cmp.Or(c.Redis, config.Default().Redis) }

// usualFirst is the first epoch if none is given.
func (c configInitCmd) usualFirst() uint64 {
	if preset, err := config.Preset(c.Preset); err == nil {
		return preset.First
	}
	return config.DefaultNamespace().First
}

// plainYAML are texts that mean themselves in YAML, but for a few words.
var plainYAML = regexp.MustCompile(`^(\./|/|[a-z])[A-Za-z0-9_./+-]*(:[A-Za-z0-9_./+-]+)*$`)

// quoted returns a text as YAML has it: as it is if that is plain, else as JSON, which YAML reads.
func quoted(text string) string {
	if plainYAML.MatchString(text) && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, text) {
		return text
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// printNext prints what to do with the file.
func (c configInitCmd) printNext(a *app) error {
	file := shellWord(c.File)
	next := []string{}
	if !strings.Contains(c.store(), "://") {
		if _, err := os.Stat(c.store()); err != nil {
			next = append(next, "mkdir -p "+shellWord(c.store()))
		}
	}
	next = append(next, "ktaudit config check --online "+file)
	if c.Alertmanager != "" || c.SlackURLFile != "" {
		next = append(next, "ktaudit alert test --config "+file)
	}
	if c.queue() == queue.Embedded {
		next = append(next, "ktaudit run --config "+file)
	} else {
		next = append(next, "ktaudit scheduler --config "+file, "ktaudit worker --config "+file+" --listen 127.0.0.1:9465")
	}
	next = append(next, "ktaudit status --config "+file)
	if a.json {
		return a.object(struct {
			File string   `json:"file"`
			Next []string `json:"next"`
		}{c.File, next})
	}
	a.printf("%s is written. Next:\n", c.File)
	for _, command := range next {
		a.printf("  %s\n", command)
	}
	return nil
}
