package targets

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// The headers by which a webhook's receiver knows that a request comes from ktaudit, and comes
// twice. Those of Standard Webhooks (standardwebhooks.com) are
//
//	webhook-id: ID
//	webhook-timestamp: UNIX
//	webhook-signature: v1,BASE64
//
// BASE64 is the HMAC-SHA256 of ID, a dot, UNIX, a dot and the body as it was received. ID is the
// same each time that the same is sent. A receiver computes the same, compares in constant time,
// and refuses a UNIX time that is more than a few minutes away. A secret that begins with "whsec_"
// is the base64 of the key; any other is the key. The header of earlier versions is sent as well:
//
//	X-Ktaudit-Signature: t=UNIX,v1=HEX
//
// HEX is the HMAC-SHA256, under the secret as it is written, of UNIX, a dot and the body.
const (
	idHeader        = "webhook-id"
	timestampHeader = "webhook-timestamp"
	signatureHeader = "webhook-signature"
	formerHeader    = "X-Ktaudit-Signature"
)

const (
	// minSecret is the shortest key of a webhook, in bytes.
	minSecret = 16
	// keyPrefix is what a secret in base64 begins with.
	keyPrefix = "whsec_"
)

// newWebhook makes a target of any HTTP server that accepts JSON, one alert per request, signed
// with the secret. A request may come twice, with the same webhook-id.
func newWebhook(s Settings) (alert.Target, error) {
	u, err := jsonpost.ParseAddress(s.URL)
	if err != nil {
		return alert.Target{}, err
	}
	key, err := webhookKey(s.Secret)
	if err != nil {
		return alert.Target{}, err
	}
	name, err := nameOrDefault(s.Name, "webhook", withoutUser(u))
	if err != nil {
		return alert.Target{}, err
	}
	p, err := s.poster(u, string(s.Secret))
	if err != nil {
		return alert.Target{}, err
	}
	// A program hears of each alert at once, and decides by itself what people hear of it.
	return alert.Target{Name: name, Batch: 1, Mixed: true, Send: func(ctx context.Context, alerts []alert.Alert) error {
		for _, a := range alerts {
			m := message.Of([]alert.Alert{a}, s.Runbook)
			body, err := alertJSON(m)
			if err != nil {
				return &jsonpost.Refusal{Err: err}
			}
			now := strconv.FormatInt(time.Now().Unix(), 10)
			header := map[string]string{
				idHeader: m.ID, timestampHeader: now,
				signatureHeader: "v1," + base64.StdEncoding.EncodeToString(sign(key, m.ID, now, string(body))),
				formerHeader:    "t=" + now + ",v1=" + hex.EncodeToString(sign(s.Secret, now, string(body))),
			}
			if err := p.Post(ctx, body, header); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// webhookKey is the key in a secret.
func webhookKey(secret []byte) ([]byte, error) {
	key := secret
	if text, ok := strings.CutPrefix(string(secret), keyPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, errors.New("the secret begins with " + keyPrefix + ", and what follows is not base64")
		}
	}
	if len(key) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes: want at least %d", len(key), minSecret)
	}
	return key, nil
}

// sign returns the HMAC of parts with dots between them.
func sign(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(parts, ".")))
	return mac.Sum(nil)
}

// alertJSON is what programs get: the fields of the alert, of several the first's, and of the
// message what is of use to people. Fields are added and never change.
func alertJSON(m message.Message) ([]byte, error) {
	body := struct {
		Version int    `json:"version"`
		ID      string `json:"id"`
		Status  string `json:"status"`
		alert.Alert
		Title    string        `json:"title"`
		Meaning  string        `json:"meaning,omitempty"`
		HowBad   string        `json:"how_bad,omitempty"`
		Actions  string        `json:"actions,omitempty"`
		Evidence string        `json:"evidence,omitempty"`
		Commands []string      `json:"commands,omitempty"`
		Runbook  string        `json:"runbook_url,omitempty"`
		Text     string        `json:"text"`
		Explain  string        `json:"explain,omitempty"`
		Alerts   []alert.Alert `json:"alerts,omitempty"` // if there are several
	}{
		Version: 1, ID: m.ID, Status: m.Status, Alert: m.Alerts[0], Title: m.Title, Meaning: m.Meaning, HowBad: m.HowBad, Actions: m.Actions,
		Evidence: m.Evidence, Commands: m.Commands, Runbook: m.RunbookURL, Text: m.Text(),
	}
	if word := m.Alerts[0].ExplainWord(); word != "" {
		body.Explain = "ktaudit explain " + word
	}
	if len(m.Alerts) > 1 {
		body.Alerts = m.Alerts
	}
	return json.Marshal(body)
}
