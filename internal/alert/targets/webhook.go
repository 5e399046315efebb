package targets

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// SignatureHeader is the header of a webhook's requests that proves that they come from ktaudit:
//
//	X-Ktaudit-Signature: t=UNIX,v1=HEX
//
// HEX is the HMAC-SHA256, under the shared secret, of the digits of UNIX, a dot, and the body as it
// was received. A receiver computes the same, compares in constant time, and refuses a UNIX time
// that is more than a few minutes away.
const SignatureHeader = "X-Ktaudit-Signature"

// minSecret is the shortest secret of a webhook, in bytes.
const minSecret = 16

// NewWebhook makes a target of any HTTP server that accepts JSON, one alert per request: the fields
// of alert.Alert, with version (1), status ("firing" or "resolved"), and in explain the command
// that says what the alert means. The secret, of at least 16 bytes, signs the requests. Name may be
// empty.
//
// A request may come twice, with the same namespace, incident and status.
func NewWebhook(name, address string, secret []byte) (alert.Target, error) {
	u, err := parseAddress("webhook", address)
	if err != nil {
		return alert.Target{}, err
	}
	if len(secret) < minSecret {
		return alert.Target{}, fmt.Errorf("webhook: the secret has %d bytes: want at least %d", len(secret), minSecret)
	}
	identity := *u
	identity.User = nil
	if name, err = nameOrDefault(name, "webhook", identity.String()); err != nil {
		return alert.Target{}, err
	}
	p := jsonpost.New(u, string(secret))
	return alert.Target{Name: name, Batch: 1, Send: func(ctx context.Context, alerts []alert.Alert) error {
		for _, a := range alerts {
			body, err := webhookBody(a)
			if err != nil {
				return &jsonpost.Refusal{Err: err}
			}
			header := map[string]string{SignatureHeader: sign(secret, time.Now(), body)}
			if err := p.Post(ctx, body, header); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func webhookBody(a alert.Alert) ([]byte, error) {
	return json.Marshal(struct {
		Version int    `json:"version"`
		Status  string `json:"status"`
		alert.Alert
		Explain string `json:"explain,omitempty"`
	}{1, a.Status(), a, explainCommand(a)})
}

// sign returns the value of SignatureHeader.
func sign(secret []byte, now time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%d.%s", now.Unix(), body)
	return fmt.Sprintf("t=%d,v1=%s", now.Unix(), hex.EncodeToString(mac.Sum(nil)))
}
