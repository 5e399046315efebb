package targets

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
)

// each makes a target of every kind that is reached by HTTP, at an address.
func each(t *testing.T, address string) map[string]alert.Target {
	t.Helper()
	made := map[string]alert.Target{}
	for _, kind := range []string{"alertmanager", "webhook", "slack", "pagerduty"} {
		made[kind] = makeTarget(t, kind, Settings{URL: address, Secret: secret})
	}
	return made
}

func makeTarget(t *testing.T, kind string, s Settings) alert.Target {
	t.Helper()
	made, err := New(kind, s)
	must(t, err)
	return made[0]
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
		for kind := range each(t, echo) {
			_, err := New(kind, Settings{URL: bad, Secret: secret})
			if err == nil || strings.Contains(err.Error(), "TOKEN") {
				t.Errorf("%s, %q: %v", kind, bad, err)
			}
		}
	}
	for _, bad := range []string{"short-TOKEN", "whsec_short=TOKEN", "whsec_" + "c2hvcnQ="} {
		if _, err := New("webhook", Settings{URL: echo, Secret: []byte(bad)}); err == nil || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("the secret %s: %v", bad, err)
		}
	}
}

func TestNamesOfTargetsDifferByAddressAndNotByPassword(t *testing.T) {
	t.Parallel()
	name := func(address string) string {
		return makeTarget(t, "alertmanager", Settings{URL: address}).Name
	}
	if name("http://a:9093") == name("http://b:9093") || name("http://a:9093/x") == name("http://a:9093") {
		t.Error("two addresses have one name")
	}
	if name("http://a:9093") != name("http://ops:new@a:9093/") {
		t.Error("one address has two names")
	}
}

// What a log says reaches people as text and as nothing else, whatever the target.
func TestHostileTextInMessages(t *testing.T) {
	t.Parallel()
	a := rejected
	a.Summary, a.Detail = "key \x1b[2J\u202e\u2066\r\n.\r\nBcc: all@example.org", strings.Repeat("<&>", 2000)
	a = filled(a)
	m := message.Of([]alert.Alert{a}, "")
	hook, err := alertJSON(m)
	must(t, err)
	slack, err := slackBody(m)
	must(t, err)
	manager, err := alertmanagerBody([]alert.Alert{a}, "", began)
	must(t, err)
	pager, err := json.Marshal(pagerDutyEventOf(m, "key"))
	must(t, err)
	for target, body := range map[string][]byte{"webhook": hook, "slack": slack, "alertmanager": manager, "pagerduty": pager} {
		var decoded any
		must(t, json.Unmarshal(body, &decoded))
		if shown := fmt.Sprint(decoded); strings.ContainsAny(shown, "\x1b\u202e\u2066\r") {
			t.Errorf("%s: %q", target, shown)
		}
	}
}

// Whoever reads an alert is told what it means and what to run, whatever its target.
func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, a := range []alert.Alert{rejected, silent} {
		m := message.Of([]alert.Alert{a}, "https://wiki.example.org/kt")
		hook, err := alertJSON(m)
		must(t, err)
		slack, err := slackBody(m)
		must(t, err)
		manager, err := alertmanagerBody(m.Alerts, "https://wiki.example.org/kt", began)
		must(t, err)
		pager, err := json.Marshal(pagerDutyEventOf(m, "key"))
		must(t, err)
		for target, body := range map[string][]byte{"webhook": hook, "slack": slack, "alertmanager": manager, "pagerduty": pager} {
			for _, want := range []string{m.Commands[0], m.Actions, "https://wiki.example.org/kt#" + string(a.Kind)} {
				if !strings.Contains(string(body), want) {
					t.Errorf("%s: %s has no %q: %s", a.Incident, target, want, body)
				}
			}
		}
	}
}

// A server that only a CA of the operator's vouches for is reached by that CA, and not without.
func TestTLSOfATarget(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for kind := range each(t, server.URL) {
		s := Settings{URL: server.URL, Secret: secret}
		if err := makeTarget(t, kind, s).Send(t.Context(), []alert.Alert{rejected}); err == nil {
			t.Errorf("%s: a server that nobody vouches for is believed", kind)
		}
		s.TLS.CA = ca
		if err := makeTarget(t, kind, s).Send(t.Context(), []alert.Alert{rejected}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		s.TLS.CA += ".missing"
		if _, err := New(kind, s); err == nil {
			t.Errorf("%s: a missing CA is no problem", kind)
		}
	}
}
