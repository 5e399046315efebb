package targets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// each makes a target of every kind at an address.
func each(t *testing.T, address string) map[string]alert.Target {
	t.Helper()
	targets := map[string]alert.Target{}
	for _, kind := range Kinds() {
		target, err := New(kind, Settings{Address: address, Secret: secret})
		must(t, err)
		targets[kind] = target
	}
	return targets
}

func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]struct {
		ok, refused bool
	}{
		200: {ok: true}, 202: {ok: true}, 204: {ok: true},
		301: {refused: true}, 302: {refused: true}, 304: {refused: true}, 307: {refused: true}, 400: {refused: true}, 401: {refused: true},
		403: {refused: true}, 404: {refused: true}, 410: {refused: true}, 413: {refused: true}, 422: {refused: true},
		408: {}, 429: {}, 500: {}, 502: {}, 503: {}, 504: {}, 599: {},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		})
		for name, target := range each(t, address) {
			err := target.Send(t.Context(), []alert.Alert{rejected})
			if (err == nil) != want.ok || jsonpost.Refused(err) != want.refused {
				t.Errorf("%s, %d: %v", name, code, err)
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s came elsewhere", r.Method, r.URL) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, code) })
		for name, target := range each(t, address) {
			if err := target.Send(t.Context(), []alert.Alert{rejected}); !jsonpost.Refused(err) {
				t.Errorf("%s, %d: %v", name, code, err)
			}
		}
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	for name, target := range each(t, address) {
		err := target.Send(t.Context(), []alert.Alert{rejected})
		if e, ok := errors.AsType[*jsonpost.RetryAfterError](err); !ok || e.Pause < time.Minute || e.Pause > 2*time.Minute {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endless writes until the client has had enough.
type endless struct{ context.Context }

func (e endless) Read(p []byte) (int, error) { return len(p), e.Err() }

func TestAnswersAreReadUpToALimit(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.Copy(w, endless{r.Context()})
	})
	for name, target := range each(t, address) {
		if err := target.Send(t.Context(), []alert.Alert{rejected}); !jsonpost.Refused(err) || len(err.Error()) > 2000 {
			t.Errorf("%s: %.3000v", name, err)
		}
	}
}

func TestSecretsAreInNoErrorAndNoName(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		user, password, _ := r.BasicAuth()
		_, _ = fmt.Fprintf(w, "no %s here, http://%s%s, %s\n", r.URL.Path, r.Host, r.URL, r.Header.Get("Authorization"))
		_, _ = fmt.Fprintf(w, "%s, %s, %s, %s\n", path.Base(r.URL.Path), r.URL.Query().Get("key"), user, password)
		_, _ = fmt.Fprintf(w, "%s%s", strings.Repeat(".", 100), r.URL.Query().Get("cut"))
	})
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, base := range []string{echo, closed.URL} {
		address := strings.Replace(base, "http://", "http://user-TOKEN:pass-TOKEN@", 1) + "/T/B/SECRET-TOKEN?key=QUERY%2FTOKEN&cut=half-a-secret-and-the-other-half-of-it-%22-TOKEN"
		for name, target := range each(t, address) {
			err := target.Send(t.Context(), []alert.Alert{rejected})
			if err == nil || strings.Contains(err.Error(), "TOKEN") || strings.Contains(err.Error(), "dXNlci") || strings.Contains(err.Error(), "half-a-se") ||
				strings.Contains(target.Name, "TOKEN") {
				t.Errorf("%s: %q: %v", name, target.Name, err)
			}
		}
	}
	for _, bad := range []string{"", "TOKEN", "ftp://host/TOKEN", "https:///TOKEN", "http://[TOKEN", "http://host/%zzTOKEN", "://TOKEN"} {
		for _, kind := range Kinds() {
			_, err := New(kind, Settings{Address: bad, Secret: secret})
			if err == nil || strings.Contains(err.Error(), "TOKEN") {
				t.Errorf("%s, %q: %v", kind, bad, err)
			}
		}
	}
	if _, err := NewWebhook("", echo, []byte("short-TOKEN")); err == nil || strings.Contains(err.Error(), "TOKEN") {
		t.Errorf("a short secret: %v", err)
	}
	if _, err := NewSlack("Pager One", echo); err == nil {
		t.Error("a bad name is taken")
	}
}

func TestNamesOfTargetsDifferByAddressAndNotByPassword(t *testing.T) {
	t.Parallel()
	name := func(address string) string {
		target, err := NewAlertmanager("", address)
		must(t, err)
		return target.Name
	}
	if name("http://a:9093") == name("http://b:9093") || name("http://a:9093/x") == name("http://a:9093") {
		t.Error("two addresses have one name")
	}
	if name("http://a:9093") != name("http://ops:new@a:9093/") {
		t.Error("one address has two names")
	}
}

// The header a receiver computes is the one of the documentation, here computed by openssl.
func TestSignatureOfAWebhook(t *testing.T) {
	t.Parallel()
	const want = "t=1790000000,v1=c60797ecea25aa46de421eeeee007147364dbf830e2cca982774fe229c2efac9"
	got := sign(secret, time.Unix(1_790_000_000, 0), []byte(`{"version":1}`))
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, err := range map[string]error{
		"another body":   verify(secret, got, []byte(`{"version":2}`), time.Unix(1_790_000_000, 0)),
		"another secret": verify([]byte("another secret, as long"), got, []byte(`{"version":1}`), time.Unix(1_790_000_000, 0)),
		"much later":     verify(secret, got, []byte(`{"version":1}`), time.Unix(1_790_001_000, 0)),
		"another time":   verify(secret, strings.Replace(got, "t=1790000000", "t=1790000001", 1), []byte(`{"version":1}`), time.Unix(1_790_000_000, 0)),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSlackMessage(t *testing.T) {
	t.Parallel()
	a := rejected
	a.Summary, a.Detail = "see <https://evil.example|here> & <!channel>", strings.Repeat("<&>", 2000)
	var message struct {
		Text   string
		Blocks []slackBlock
	}
	body, err := slackBody([]alert.Alert{a, resolved(silent, began.Add(time.Hour))})
	must(t, err)
	must(t, json.Unmarshal(body, &message))
	if len(message.Blocks) != 3 || message.Blocks[0].Text.Text != "*2 alerts*" {
		t.Errorf("%+v", message.Blocks)
	}
	for _, b := range message.Blocks {
		if b.Type != "section" || b.Text.Type != "mrkdwn" || len([]rune(b.Text.Text)) > 3000 || strings.ContainsAny(b.Text.Text, "<>") || !b.Text.Verbatim {
			t.Errorf("%+v", b)
		}
	}
	for _, want := range []string{"*Critical: epoch rejected*\nsee &lt;https://evil.example|here&gt; &amp; &lt;!channel&gt;",
		"*Resolved: log silent*", "until 2026-11-22T09:00:00Z", namespace} {
		if !strings.Contains(message.Text, want) {
			t.Errorf("no %q in %s", want, message.Text)
		}
	}
	if strings.ContainsAny(message.Text, "<>") {
		t.Errorf("unescaped: %s", message.Text)
	}
}

func TestAlertmanagerMessage(t *testing.T) {
	t.Parallel()
	now := began.Add(time.Minute)
	late := now.Add(30 * 24 * time.Hour)
	for name, c := range map[string]struct {
		alert alert.Alert
		now   time.Time
		ends  time.Time
	}{
		"fact":           {rejected, now, began.Add(alert.FactActiveFor)},
		"late fact":      {rejected, late, late.Add(time.Hour)},
		"condition":      {silent, now, now.Add(alert.FactActiveFor)},
		"resolved":       {resolved(silent, now), late, now},
		"late condition": {silent, late, late.Add(alert.FactActiveFor)},
	} {
		body, err := alertmanagerBody([]alert.Alert{c.alert}, c.now)
		must(t, err)
		var got []alertmanagerAlert
		must(t, json.Unmarshal(body, &got))
		if !got[0].StartsAt.Equal(c.alert.At) || !got[0].EndsAt.Equal(c.ends) {
			t.Errorf("%s: from %s to %s, want to %s", name, got[0].StartsAt, got[0].EndsAt, c.ends)
		}
	}
	body, err := alertmanagerBody([]alert.Alert{rejected, silent}, now)
	must(t, err)
	const want = `[{"labels":{"alertname":"KtauditEpochRejected","epoch":"12","incident":"rejected/000000000012",` +
		`"namespace":"example.key-transparency.v1","reason":"digest_mismatch","severity":"critical"},` +
		`"annotations":{"description":"the end digest is another\nWhat it means: ktaudit explain digest_mismatch","summary":"epoch 12 of example.key-transparency.v1 was rejected: digest_mismatch"},` +
		`"startsAt":"2026-11-22T08:00:00Z","endsAt":"2026-11-29T08:00:00Z"},` +
		`{"labels":{"alertname":"KtauditLogSilent","epoch":"5","incident":"silent/000000000005","namespace":"example.key-transparency.v1","severity":"warning"},`
	if !strings.HasPrefix(string(body), want) {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

// Whoever reads an alert is told where it is explained, whatever its target.
func TestEveryAlertSaysWhereItIsExplained(t *testing.T) {
	t.Parallel()
	for _, a := range []alert.Alert{rejected, silent} {
		want := "ktaudit explain " + a.ExplainWord()
		hook, err := webhookBody(a)
		must(t, err)
		slack, err := slackBody([]alert.Alert{a})
		must(t, err)
		manager, err := alertmanagerBody([]alert.Alert{a}, began)
		must(t, err)
		for target, body := range map[string][]byte{"webhook": hook, "slack": slack, "alertmanager": manager} {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s: %s has no %q: %s", a.Incident, target, want, body)
			}
		}
	}
}
