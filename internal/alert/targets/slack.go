package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/text"
)

const (
	// slackBatch is how many alerts share a message, so that a flood does not bury a channel.
	slackBatch = 20
	// slackDetail is how much of a detail is shown, in bytes. Slack accepts 3000 characters in a
	// block, after escaping.
	slackDetail = 500
)

// NewSlack makes a target of an incoming webhook of Slack, or of a chat that accepts the same JSON.
// The URL is a secret. Name may be empty.
func NewSlack(name, address string) (alert.Target, error) {
	u, err := parseAddress("slack", address)
	if err != nil {
		return alert.Target{}, err
	}
	if name, err = nameOrDefault(name, "slack", u.String()); err != nil {
		return alert.Target{}, err
	}
	p := jsonpost.New(u)
	return alert.Target{Name: name, Batch: slackBatch, Send: func(ctx context.Context, alerts []alert.Alert) error {
		body, err := slackBody(alerts)
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
func slackBody(alerts []alert.Alert) ([]byte, error) {
	message := struct {
		Text   string       `json:"text"`
		Blocks []slackBlock `json:"blocks"`
	}{}
	var lines []string
	if len(alerts) > 1 {
		heading := fmt.Sprintf("*%d alerts*", len(alerts))
		lines = append(lines, heading)
		message.Blocks = append(message.Blocks, section(heading))
	}
	for _, a := range alerts {
		headline := fmt.Sprintf("*%s*\n%s", escape(a.Title()), escape(a.Summary))
		facts := fmt.Sprintf("namespace %s, incident %s, since %s",
			escape(a.Namespace), escape(a.Incident), a.At.Format(time.RFC3339))
		if a.Resolved() {
			facts += ", until " + a.ResolvedAt.Format(time.RFC3339)
		}
		if a.Detail != "" {
			facts += "\n" + escape(text.CleanLines(a.Detail, slackDetail))
		}
		if command := explainCommand(a); command != "" {
			facts += "\nwhat it means: `" + command + "`"
		}
		lines = append(lines, headline+"\n"+facts)
		message.Blocks = append(message.Blocks, section(headline+"\n"+facts))
	}
	message.Text = strings.Join(lines, "\n\n")
	return json.Marshal(message)
}

func section(text string) slackBlock { return slackBlock{"section", slackText{"mrkdwn", text, true}} }

// escape keeps text from becoming markup: it may come from a log, and could notify everyone in a
// channel or show a link.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
