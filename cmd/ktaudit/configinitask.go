package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
)

// question is one of config init's.
type question struct {
	text, help string
	to         *string // empty: the flag does not say
	usual      string  // what an empty answer stands for
	path       string  // the setting in the file
}

// ask completes the command from answers. A wrong one is asked for again.
func (c *configInitCmd) ask(ctx context.Context, in io.Reader, out io.Writer) error {
	answers := readLines(in)
	fmt.Fprintf(out, "This writes %s. An empty answer takes what stands in brackets.\n", text.Clean(c.File, maxErrorLine))
	if err := c.askLog(ctx, answers, out); err != nil {
		return err
	}
	first := ""
	if c.First != 0 {
		first = strconv.FormatUint(c.First, 10)
	}
	common := []question{
		{"First epoch to audit", "This epoch and all later ones are audited, which may be terabytes for a large log. The log's own pages say where it is now.",
			&first, strconv.FormatUint(c.usualFirst(), 10), "namespaces[0].first"},
		{"Where do verdicts go?", "A folder, or a bucket such as s3://example-audit?region=eu-central-1.", &c.AuditStore, c.store(), "audit_store"},
		{"Redis", "embedded is enough for one process; several share one, such as redis://localhost:6379/0.", &c.Redis, c.queue(), "redis"},
		{"Alertmanager to send alerts to, or none", "Such as http://localhost:9093. Other targets can be added to the file.", &c.Alertmanager, "none", "alerts.alertmanager"},
		{"File with the URL of a Slack webhook to send alerts to, or none", "", &c.SlackURLFile, "none", "alerts.slack"},
		{"Address of /metrics and /healthz, or none", "", &c.Listen, defaultListen, "listen"},
	}
	for _, q := range common {
		check := func() error { return c.problemWith(q.path) }
		if q.to == &first {
			check = func() (err error) {
				if c.First, err = strconv.ParseUint(first, 10, 64); err != nil || c.First == 0 {
					return errors.New("is not an epoch: give a number from 1 on")
				}
				return c.problemWith(q.path)
			}
		}
		if err := q.ask(ctx, answers, out, check); err != nil {
			return err
		}
	}
	*c = c.withoutNone()
	return nil
}

// withoutNone returns the command with what was answered by none left out.
func (c configInitCmd) withoutNone() configInitCmd {
	for _, optional := range []*string{&c.Alertmanager, &c.SlackURLFile} {
		if *optional == "none" {
			*optional = ""
		}
	}
	return c
}

// askLog asks which log it is.
func (c *configInitCmd) askLog(ctx context.Context, answers <-chan string, out io.Writer) error {
	presets := config.PresetNames()
	choices := append(presets, "other")
	log := ""
	which := question{"Which log?", "One of WhatsApp's and Messenger's public logs, or another one: " + strings.Join(choices, ", ") + ".", &log, "whatsapp-v2", ""}
	err := which.ask(ctx, answers, out, func() error {
		if _, err := config.Preset(log); err != nil && log != "other" {
			return fmt.Errorf("is none of %s", strings.Join(choices, ", "))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if log != "other" {
		c.Preset = log
		return nil
	}
	key := c.VerifyingKey
	for _, q := range []question{
		{"Its name, as it appears in signed digests", "", &c.Namespace, "", "namespaces[0].namespace"},
		{"Where does it publish its batches?", "A folder, or a bucket such as s3://example-log?region=us-east-1, gs:// or azblob://.", &c.LogDirectory, "", "namespaces[0].log_directory"},
		{"Key that its digests are signed with, or none", "64 hexadecimal digits. Without one signatures are not checked.", &key, "none", "namespaces[0].verifying_keys"},
		{"Where are the signed digests?", "A folder, a bucket, or an auditor, plexi+https://HOST/NAMESPACE.", &c.Signatures, "", "namespaces[0].signatures"},
	} {
		if q.to == &c.Signatures && c.VerifyingKey == "" {
			continue
		}
		err := q.ask(ctx, answers, out, func() error {
			if c.VerifyingKey = key; key == "none" {
				c.VerifyingKey = ""
			}
			return c.problemWith(q.path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// problemWith returns what is wrong with one setting, as the file would have it now.
func (c *configInitCmd) problemWith(path string) error {
	answered := c.withoutNone()
	_, err := config.Parse(c.File, []byte(answered.text()))
	problems, _ := errors.AsType[config.Problems](err)
	for _, p := range problems {
		if strings.HasPrefix(p.Path, path) {
			return errors.New(p.Message)
		}
	}
	return nil
}

// ask asks until check has nothing against the answer.
func (q question) ask(ctx context.Context, answers <-chan string, out io.Writer, check func() error) error {
	if *q.to != "" {
		return nil // a flag says it
	}
	if q.help != "" {
		fmt.Fprintf(out, "\n%s\n", q.help)
	}
	for {
		usual := ""
		if q.usual != "" {
			usual = " [" + q.usual + "]"
		}
		fmt.Fprintf(out, "%s%s: ", q.text, usual)
		select {
		case answer, ok := <-answers:
			if !ok {
				return errors.New("the answers end here: nothing was written")
			}
			if *q.to = strings.TrimSpace(strings.ToValidUTF8(answer, "?")); *q.to == "" {
				*q.to = q.usual
			}
		case <-ctx.Done():
			fmt.Fprintln(out)
			return &unfinishedError{ctx.Err(), "nothing was written"}
		}
		if *q.to == "" {
			fmt.Fprintln(out, "  there is no usual answer to this one")
			continue
		}
		err := check()
		if err == nil {
			return nil
		}
		fmt.Fprintf(out, "  %s\n", text.Clean(err.Error(), maxErrorLine))
	}
}

// readLines reads lines beside the program, which an interrupt must be able to end.
func readLines(in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	return lines
}
