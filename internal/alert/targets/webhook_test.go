package targets

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// request is what a webhook's receiver gets.
type request struct {
	header http.Header
	body   []byte
}

func receiveWebhook(t *testing.T, s Settings, alerts ...alert.Alert) request {
	t.Helper()
	got := make(chan request, 1)
	s.URL = serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- request{r.Header, body}
	})
	must(t, makeTarget(t, "webhook", s).Send(t.Context(), alerts))
	return <-got
}

// The published library of Standard Webhooks accepts what is sent, and nothing that was changed.
func TestStandardWebhooksAccepts(t *testing.T) {
	t.Parallel()
	key := []byte("a key of thirty-two bytes, or so")
	for name, c := range map[string]struct{ secret, key string }{
		"base64": {"whsec_" + base64.StdEncoding.EncodeToString(key), base64.StdEncoding.EncodeToString(key)},
		"plain":  {string(secret), base64.StdEncoding.EncodeToString(secret)},
	} {
		library, err := standardwebhooks.NewWebhook(c.key)
		must(t, err)
		r := receiveWebhook(t, Settings{Secret: []byte(c.secret)}, rejected)
		if err := library.Verify(r.body, r.header); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := library.Verify(append(r.body, ' '), r.header); err == nil {
			t.Errorf("%s: another body is accepted", name)
		}
		again := receiveWebhook(t, Settings{Secret: []byte(c.secret)}, rejected)
		end := receiveWebhook(t, Settings{Secret: []byte(c.secret)}, resolved(silent, began))
		if id := r.header.Get("webhook-id"); id == "" || id != again.header.Get("webhook-id") || id == end.header.Get("webhook-id") {
			t.Errorf("%s: the IDs are %q, %q and %q", name, id, again.header.Get("webhook-id"), end.header.Get("webhook-id"))
		}
		if err := verify([]byte(c.secret), r.header.Get(formerHeader), r.body, time.Now()); err != nil {
			t.Errorf("%s: the former header: %v", name, err)
		}
	}
}

// What receivers read has stayed since version 1.
func TestWebhookBody(t *testing.T) {
	t.Parallel()
	r := receiveWebhook(t, Settings{Secret: secret, Runbook: "https://wiki.example.org/kt"}, rejected)
	var got map[string]any
	must(t, json.Unmarshal(r.body, &got))
	for key, want := range map[string]any{
		"version": 1.0, "status": "firing", "kind": "rejected", "severity": "critical", "namespace": namespace,
		"incident": "rejected/000000000012", "epoch": 12.0, "reason": "digest_mismatch", "summary": rejected.Summary,
		"detail": "the end digest is another", "at": "2026-11-22T08:00:00Z", "explain": "ktaudit explain digest_mismatch",
		"runbook_url": "https://wiki.example.org/kt#rejected", "id": r.header.Get("webhook-id"),
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

// The former header is the one that its documentation describes, here computed by openssl.
func TestFormerSignature(t *testing.T) {
	t.Parallel()
	const want = "c60797ecea25aa46de421eeeee007147364dbf830e2cca982774fe229c2efac9"
	if got := hex.EncodeToString(sign(secret, "1790000000", `{"version":1}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	header := "t=1790000000,v1=" + want
	for name, err := range map[string]error{
		"another body":   verify(secret, header, []byte(`{"version":2}`), time.Unix(1_790_000_000, 0)),
		"another secret": verify([]byte("another secret, as long"), header, []byte(`{"version":1}`), time.Unix(1_790_000_000, 0)),
		"much later":     verify(secret, header, []byte(`{"version":1}`), time.Unix(1_790_001_000, 0)),
		"another time":   verify(secret, strings.Replace(header, "t=1790000000", "t=1790000001", 1), []byte(`{"version":1}`), time.Unix(1_790_000_000, 0)),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
