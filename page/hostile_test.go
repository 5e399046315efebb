package page

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"golang.org/x/mod/sumdb/note"
)

// A path leads nowhere but to this page.
func TestRedirectsStayHere(t *testing.T) {
	t.Parallel()
	p := newPage(t, openStore(t))
	for _, path := range []string{
		"/logs/https:evil.example", "/logs/javascript:alert(1)", "/logs/x/epochs/https:evil.example", "/logs/x/range/mailto:x", "/logs/%5Cevil.example", "/logs/a%0d%0aX:1",
	} {
		answer, _ := get(t, p, path)
		if to := answer.Header.Get("Location"); !strings.HasPrefix(to, "/logs/") {
			t.Errorf("%s leads to %q", path, to)
		}
	}
}

// Pages that could not be made anew are not shown as if they held now.
func TestOldPagesAreNotShown(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 3)...)
	p := newPage(t, store)
	later := time.Now().Add(unreadAfter + time.Second)
	p.now = func() time.Time { return later }
	for _, path := range []string{"/", "/overview.json", "/logs/" + jobstest.Namespace + "/badge.svg"} {
		if answer, body := get(t, p, path); answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s\n%.300s", path, answer.Status, body)
		}
	}
	jobstest.Must(t, p.update())
	if _, body := get(t, p, "/overview.json"); strings.Contains(body, `"good"`) {
		t.Errorf("what was not read for long is good: %s", body)
	}
}

// Whoever asks only for the header of the events does not take a place among those who follow them.
func TestHeadOfEvents(t *testing.T) {
	t.Parallel()
	p := newPage(t, openStore(t))
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/events", nil)) // must return
	if w.Code != http.StatusNotFound {
		t.Error(w.Code)
	}
}

// witnessedLog has a verdict log whose checkpoint w.example has cosigned as of a time.
func witnessedLog(t *testing.T, store *auditstore.Store, at time.Time) summary.Keys {
	t.Helper()
	jobstest.Verify(t, store, jobstest.Span(1, 3)...)
	origin := transparency.Origin("auditor.example.org", jobstest.Namespace, transparency.Verdicts)
	secret, vkey, err := note.GenerateKey(rand.Reader, origin)
	jobstest.Must(t, err)
	signer, err := note.NewSigner(secret)
	jobstest.Must(t, err)
	verifier, err := note.NewVerifier(vkey)
	jobstest.Must(t, err)
	log := transparency.Open(store, jobstest.Namespace, transparency.Verdicts)
	_, err = log.Begin(t.Context(), 1)
	jobstest.Must(t, err)
	c, err := log.Advance(t.Context(), signer, transparency.Own(origin, verifier), 100)
	jobstest.Must(t, err)
	w, err := tlogproof.NewCosigner("w.example", tlogtest.Key("w.example"))
	jobstest.Must(t, err)
	signed, err := note.Sign(&note.Note{Text: c.String()}, w.At(at))
	jobstest.Must(t, err)
	_, line, _ := strings.Cut(string(signed), "\n\n")
	c.Note = append(c.Note, line...)
	jobstest.Must(t, log.PutWitnessed(t.Context(), c))
	return summary.Keys{Verdicts: vkey, Witnesses: []string{w.Key()}, Require: 1}
}

// The time of a cosignature is the witness's choice. One that is no date spoils no page.
func TestCosignatureAsOfNoDate(t *testing.T) {
	t.Parallel()
	for _, at := range []struct {
		time time.Time
		has  string
	}{{time.Unix(1_790_000_000, 0), `"enough":true`}, {time.Unix(1<<40, 0), `"enough":false`}} {
		store := openStore(t)
		p := newPage(t, store, summary.Log{Name: jobstest.Namespace, First: 1, Keys: witnessedLog(t, store, at.time)})
		if _, body := get(t, p, "/logs/"+jobstest.Namespace+"/log.json"); !strings.Contains(body, at.has) {
			t.Errorf("%s: %.2000s", at.time, body)
		}
	}
}

// A log of verdicts that is gone, or signed by another key, is not passed over.
func TestOwnLogIsNotGood(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	keys := witnessedLog(t, store, time.Unix(1_790_000_000, 0))
	stranger := tlogtest.New(transparency.Origin("auditor.example.org", jobstest.Namespace, transparency.Verdicts)).Verifier()
	empty := openStore(t)
	jobstest.Verify(t, empty, jobstest.Span(1, 3)...)
	for _, c := range []struct {
		name  string
		store *auditstore.Store
		keys  summary.Keys
		state string
	}{
		{"as it should be", store, keys, "good"},
		{"another key", store, summary.Keys{Verdicts: stranger, Witnesses: keys.Witnesses, Require: 1}, "warning"},
		{"no log", empty, keys, "warning"},
		{"none is kept", empty, summary.Keys{}, "good"},
	} {
		p := newPage(t, c.store, summary.Log{Name: jobstest.Namespace, First: 1, Keys: c.keys})
		if _, body := get(t, p, "/overview.json"); !strings.Contains(body, `"state":"`+c.state+`"`) {
			t.Errorf("%s: %.600s", c.name, body)
		}
	}
}
