package targets

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

const namespace = "example.key-transparency.v1"

var (
	secret   = []byte("a secret of the webhook")
	began    = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	rejected = filled(alert.OfVerdict(rejection(12)))
	silent   = filled(alert.OfSilent(namespace, 5, began))
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func rejection(epoch uint64) verdict.Verdict {
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Rejected, Reason: "digest_mismatch",
		Detail: "the end digest is another", PreviousDigest: strings.Repeat("a1", 32), Digest: strings.Repeat("b2", 32),
		Signature: verdict.Signature{Status: "not_required"}, Software: "test",
	}
}

func filled(a alert.Alert) alert.Alert {
	a, err := a.Complete(began)
	if err != nil {
		panic(err)
	}
	return a
}

func resolved(a alert.Alert, at time.Time) alert.Alert {
	a.ResolvedAt = at
	return a
}

// serve answers every request with a function and returns the address.
func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

// verify is what a receiver does with the signature; the documentation describes it.
func verify(secret []byte, header string, body []byte, now time.Time) error {
	var unix int64
	var signature string
	if _, err := fmt.Sscanf(header, "t=%d,v1=%s", &unix, &signature); err != nil {
		return fmt.Errorf("signature %q: %w", header, err)
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%d.", unix)
	mac.Write(body)
	got, err := hex.DecodeString(signature)
	switch {
	case err != nil || !hmac.Equal(got, mac.Sum(nil)):
		return errors.New("the signature is not of this body")
	case now.Sub(time.Unix(unix, 0)).Abs() > 5*time.Minute:
		return errors.New("the signature is too old")
	}
	return nil
}

func raise(t *testing.T, s *auditstore.Store, alerts ...alert.Alert) {
	t.Helper()
	for _, a := range alerts {
		_, err := alert.Outbox{Store: s}.Raise(t.Context(), a)
		must(t, err)
	}
}

func dispatcher(t *testing.T, s *auditstore.Store, targets ...alert.Target) *alert.Dispatcher {
	t.Helper()
	d, err := alert.NewDispatcher(alert.Options{
		Store: s, Namespaces: []string{namespace}, Targets: targets, Log: zerolog.Nop(), Every: 10 * time.Millisecond,
	})
	must(t, err)
	return d
}

// start runs a dispatcher until the test ends, or until the function it returns is called.
func start(t *testing.T, d *alert.Dispatcher) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}
