package golden_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// everyAlert is one of each kind of alert, at a fixed time.
func everyAlert() []alert.Alert {
	rejected := verdictOn(12)
	rejected.Outcome, rejected.Reason, rejected.Detail = verdict.Rejected, "digest_mismatch", `a "detail" <&>`
	equivocation := rejected
	equivocation.Epoch, equivocation.Reason = 13, "equivocation"
	all := []alert.Alert{
		alert.OfVerdict(rejected), alert.OfVerdict(equivocation), alert.OfContradiction(verdictOn(12), rejected, nil),
		alert.OfBrokenChain(namespace, 14, "digest_reused", "as epoch 3"),
		alert.OfSealedMismatch(namespace, 722, "two verdicts are missing"), alert.OfHistoryMismatch(namespace, 7, "corrupt"),
		alert.OfSkipped(namespace, 15, 16), alert.OfSilent(namespace, 17, began), alert.OfBacklog(namespace, 18, began),
		alert.OfTransient(namespace, 19, began, errors.New("no route")), alert.OfTest(namespace, began),
	}
	for i := range all {
		all[i].At = began
		// The wording of summaries is not pinned: people read it, and no program does.
		all[i].Summary = "a summary <&>"
	}
	return all
}

// raiseEveryKind raises all alerts and says of each condition that it has ended.
func raiseEveryKind(t *testing.T) []object {
	w := emptyWorld(t)
	raise(t, w)
	return w.audit.objects()
}

func raise(t *testing.T, w *world) {
	t.Helper()
	box := alert.Outbox{Store: w.store}
	for _, a := range everyAlert() {
		raised, err := box.Raise(t.Context(), a)
		must(t, err)
		if !raised {
			t.Errorf("%s was not raised", a.Incident)
		}
		if a.Kind.Ends() {
			must(t, box.Resolve(t.Context(), namespace, a.Incident, began.Add(time.Hour)))
		}
	}
}

// raiseImplausible raises the alert on an epoch far ahead, and says that it has ended.
func raiseImplausible(t *testing.T) []object {
	return raiseOne(t, alert.OfImplausible(namespace, 5000, 20))
}

// raiseWithdrawn raises the alert on batches that are gone, and says that they have come back.
func raiseWithdrawn(t *testing.T) []object {
	return raiseOne(t, alert.OfWithdrawn(namespace, 12, 13, began))
}

// raiseCanary raises the alert on a damaged proof that was verified.
func raiseCanary(t *testing.T) []object {
	return raiseOne(t, alert.Alert{
		Kind: alert.Canary, Namespace: namespace, Incident: "canary/000000000012", Epoch: 12, Detail: "ktaudit 1.0.0: what was damaged",
	})
}

// raiseUnknownKey raises the alert on epochs that wait for a key, and says that it has ended.
func raiseUnknownKey(t *testing.T) []object {
	return raiseOne(t, unknownKey())
}

// raiseRecheckOverdue raises the alert on epochs that cannot be looked at again, and ends it.
func raiseRecheckOverdue(t *testing.T) []object {
	return raiseOne(t, alert.Alert{
		Kind: alert.RecheckOverdue, Namespace: namespace, Incident: "recheck_overdue/000000000012/2026030405", Epoch: 12, Summary: "a summary", Detail: "a detail",
	})
}

// raiseKeyOverdue raises the alert on epochs that have been waiting for a key for too long.
func raiseKeyOverdue(t *testing.T) []object {
	a := unknownKey()
	a.Kind, a.Incident = alert.KeyOverdue, "unknown_key_overdue/000000000331"
	return raiseOne(t, a)
}

func unknownKey() alert.Alert {
	a := alert.OfUnknownKey(namespace, 331, errors.New("a cause"))
	a.Detail = "a detail"
	return a
}

// raiseOne raises an alert at a fixed time, and says that it has ended if it is on a condition.
func raiseOne(t *testing.T, a alert.Alert) []object {
	t.Helper()
	w := emptyWorld(t)
	a.At, a.Summary = began, "a summary"
	box := alert.Outbox{Store: w.store}
	_, err := box.Raise(t.Context(), a)
	must(t, err)
	if a.Kind.Ends() {
		must(t, box.Resolve(t.Context(), namespace, a.Incident, began.Add(time.Hour)))
	}
	return w.audit.objects()
}

// deliver sends all alerts to a webhook and to the log, and closes them.
func deliver(t *testing.T) []object {
	w := emptyWorld(t)
	raise(t, w)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	hook, err := targets.New("webhook", targets.Settings{Name: "hook", URL: server.URL, Secret: []byte("a secret of the webhook")})
	must(t, err)
	d, err := alert.NewDispatcher(alert.Options{
		Store: w.store, Namespaces: []string{namespace}, Targets: hook, Log: zerolog.Nop(),
	})
	must(t, err)
	for range 5 { // a notice is closed in the pass after the one that delivers it
		must(t, d.Flush(t.Context()))
	}
	if open, err := w.store.Outbox(namespace).Open(t.Context()); err != nil || len(open) > 0 {
		t.Fatalf("still open: %q, %v", open, err)
	}
	return w.audit.objects()
}

// pauseCause tells a target of a rejection, after which it hears no more of its cause for a while.
func pauseCause(t *testing.T) []object {
	w := emptyWorld(t)
	_, err := alert.Outbox{Store: w.store}.Raise(t.Context(), everyAlert()[0])
	must(t, err)
	d, err := alert.NewDispatcher(alert.Options{Store: w.store, Namespaces: []string{namespace}, Log: zerolog.Nop()})
	must(t, err)
	must(t, d.Flush(t.Context()))
	return w.audit.objects()
}

func claimTarget(t *testing.T) []object {
	w := emptyWorld(t)
	claim, err := w.store.Outbox(namespace).Claim(t.Context(), "hook", time.Minute)
	must(t, err)
	must(t, claim.Release(t.Context()))
	return w.audit.objects()
}

// A target that has no name is known by one that is made from its address. With another it would
// get everything again.
func TestGoldenTargetNames(t *testing.T) {
	t.Parallel()
	text := alert.LogName + "\n"
	for _, c := range []struct {
		kind string
		s    targets.Settings
	}{
		{"alertmanager", targets.Settings{URL: "https://user:secret@alerts.example/base"}},
		{"webhook", targets.Settings{URL: "https://user:secret@hooks.example/x?y=z", Secret: []byte("a secret of the webhook")}},
		{"slack", targets.Settings{URL: "https://slack.example/services/T/B/X"}},
		{"pagerduty", targets.Settings{URL: targets.PagerDutyURL, Secret: []byte("0123456789abcdef0123456789abcdef")}},
		{"email", targets.Settings{Email: targets.Email{
			Server: "smtp.example:587", Security: targets.SecurityStartTLS, From: "kt@example.org", To: []string{"on-call@example.org"},
		}}},
		{"exec", targets.Settings{Exec: targets.Exec{Path: "/usr/local/bin/notify", Args: []string{"-v"}, Timeout: time.Second}}},
	} {
		made, err := targets.New(c.kind, c.s)
		must(t, err)
		text += made[0].Name + "\n"
	}
	const want = "log\nalertmanager-b7199c9d\nwebhook-ca7a8d51\nslack-42899365\npagerduty-8f10122a\nemail-878a41c0\nexec-ff0a02a0\n"
	if text != want {
		t.Errorf("target names\n%swant\n%s", text, want)
	}
}
