package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/text"
)

const (
	// slackDetail is how much of a detail is shown, in bytes, and slackBlockSize how many
	// characters a block has at most, of which Slack accepts 3000, after escaping.
	slackDetail, slackBlockSize = 500, 2900
)

// newSlack makes a target of an incoming webhook of Slack, or of a chat that accepts the same JSON.
// The URL is a secret.
func newSlack(s Settings) (alert.Target, error) {
	u, err := jsonpost.ParseAddress(s.URL)
	if err != nil {
		return alert.Target{}, err
	}
	name, err := nameOrDefault(s.Name, "slack", u.String())
	if err != nil {
		return alert.Target{}, err
	}
	p, err := s.poster(u)
	if err != nil {
		return alert.Target{}, err
	}
	return alert.Target{Name: name, Send: func(ctx context.Context, alerts []alert.Alert) error {
		body, err := slackBody(message.Of(alerts, s.Runbook))
		if err != nil {
			return &jsonpost.Refusal{Err: err}
		}
		return p.Post(ctx, body, nil)
	}}, nil
}

type slackText struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim"` // nothing becomes a link or a mention
}

type slackBlock struct {
	Type string    `json:"type"`
	Text slackText `json:"text"`
}

// slackBody says everything twice: in blocks, and as text for notifications and for chats without
// blocks.
func slackBody(m message.Message) ([]byte, error) {
	what := []string{
		"*" + escape(m.Title) + "*", escape(m.Summary),
		fmt.Sprintf("%s, since %s", escape(m.Namespace), m.Since.UTC().Format(time.RFC3339)),
	}
	if !m.Until.IsZero() {
		what[2] += ", until " + m.Until.UTC().Format(time.RFC3339)
	}
	what[2] += ", incident " + escape(m.Alerts[0].Incident)
	if m.Detail != "" {
		what = append(what, escape(text.CleanLines(m.Detail, slackDetail)))
	}
	var next []string
	if m.Status == message.Firing && m.Meaning != "" {
		next = append(next, escape(m.Meaning), escape(m.HowBad), escape(m.Actions))
	}
	if m.Evidence != "" {
		next = append(next, "Evidence: `"+escape(m.Evidence)+"`")
	}
	for _, command := range m.Commands {
		next = append(next, "`"+escape(command)+"`")
	}
	if m.RunbookURL != "" {
		next = append(next, "<"+escape(m.RunbookURL)+"|Runbook>")
	}
	body := struct {
		Text   string       `json:"text"`
		Blocks []slackBlock `json:"blocks"`
	}{Text: strings.Join(append(what, next...), "\n"), Blocks: []slackBlock{section(what)}}
	if len(next) > 0 {
		body.Blocks = append(body.Blocks, section(next))
	}
	return json.Marshal(body)
}

// section is a block of some lines; what does not fit is left out.
func section(lines []string) slackBlock {
	size := 0
	for i, line := range lines {
		if size += len(line) + 1; size > slackBlockSize {
			lines = append(lines[:i:i], "…")
			break
		}
	}
	return slackBlock{"section", slackText{"mrkdwn", strings.Join(lines, "\n"), true}}
}

// escape keeps text from becoming markup: it may come from a log, and could notify everyone in a
// channel or show a link.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
