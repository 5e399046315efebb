package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// newPage is a page over a store that was read once.
func newPage(t testing.TB, store *auditstore.Store, logs ...summary.Log) *Page {
	t.Helper()
	if len(logs) == 0 {
		logs = []summary.Log{{Name: jobstest.Namespace, First: 1, Preset: "example"}}
	}
	p, err := New(Config{Store: store, Logs: logs, Log: zerolog.Nop()})
	jobstest.Must(t, err)
	read(t, p)
	return p
}

func read(t testing.TB, p *Page) {
	t.Helper()
	for _, l := range p.logs {
		jobstest.Must(t, p.Round(t.Context(), l.log.Name))
	}
}

// get asks for a path as a browser does.
func get(t testing.TB, p *Page, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	jobstest.Must(t, err)
	return answer, string(body)
}

// Each page is there, and says what is on record.
func TestPages(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 20)...)
	p := newPage(t, store)
	const log = "/logs/" + jobstest.Namespace
	for _, page := range []struct{ path, has string }{
		{"/", "Verified up to epoch 20, and nothing is wrong."},
		{log + "/", `data-json="../../logs/` + jobstest.Namespace + `/strip.json"`},
		{log + "/range/1-10/", `<a href="../../../../logs/` + jobstest.Namespace + `/epochs/7/" aria-label="Epoch 7, 1 seen, 1 verified"`},
		{log + "/epochs/7/", "it continues the epoch before"},
		{log + "/epochs/7/", "ktaudit verify --preset example --epoch 7"},
		{log + "/epochs/7/epoch.json", `"tiers":["seen","verified"]`},
		{log + "/epochs/7/verdict.json", `"outcome":"verified"`},
		{log + "/log.json", `"head":20`},
		{log + "/strip.json?from=1&to=20&buckets=3", `{"from":10,"to":19,"seen":10,`},
		{log + "/series.json", `"epochs":20`},
		{log + "/keys.json", `{"namespace":"` + jobstest.Namespace + `"}`},
		{log + "/feed.atom", "<feed xmlns"},
		{log + "/badge.svg", "verified up to 20"},
		{"/overview.json", `"state":"good"`},
		{"/incidents/", "None is open."},
		{"/incidents.json", `{"incidents":[],"more":0}`},
		{"/incidents.atom", "<feed xmlns"},
		{"/search/", "all 64 digits"},
		{"/search/?q=7", `href="../logs/` + jobstest.Namespace + `/epochs/7/"`},
		{"/robots.txt", "User-agent"},
	} {
		answer, body := get(t, p, page.path)
		if answer.StatusCode != http.StatusOK || !strings.Contains(body, page.has) {
			t.Errorf("%s: %s, without %s:\n%.6000s", page.path, answer.Status, page.has, body)
		}
	}
}

// A rejection is a word or two in its state, and what it means a paragraph of its own.
func TestRejectedEpoch(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, 1, 2)
	jobstest.PutVerdict(t, store, 3, verdict.DigestMismatch)
	_, body := get(t, newPage(t, store), "/logs/"+jobstest.Namespace+"/epochs/3/")
	for _, has := range []string{
		`<p class="state state-wrong"><strong>rejected: digest_mismatch</strong></p>`, `<p class="explained">`, "without anybody cheating",
	} {
		if !strings.Contains(body, has) {
			t.Errorf("the page of a rejected epoch lacks %s:\n%.3000s", has, body)
		}
	}
}

// Epochs behind a rejected one have a verdict, which "behind" alone would leave out.
func TestBehind(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, 1, 2, 4, 5)
	jobstest.PutVerdict(t, store, 3, verdict.DigestMismatch)
	_, body := get(t, newPage(t, store), "/overview.json")
	if want := `"lag_epochs":3,"lag_text":"3 epochs that the log is known to have published, of which 3 have a verdict"`; !strings.Contains(body, want) {
		t.Errorf("the overview lacks %s: %.2000s", want, body)
	}
}

// What is not there is not, and is not kept.
func TestNoPage(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	jobstest.Verify(t, store, jobstest.Span(1, 20)...)
	p := newPage(t, store)
	const log = "/logs/" + jobstest.Namespace
	for _, path := range []string{
		"/other", "/logs/other/", log + "/epochs/21/", log + "/epochs/0/", log + "/epochs/07/", log + "/epochs/x/", log + "/epochs/7/other",
		log + "/range/5-1/", log + "/range/30-40/", log + "/range/1/", log + "/strip.json?from=x", "/assets/page.js", "/assets/../page.go",
		log + "/epochs/7/proof.tlog-proof", log + "/epochs/7/statement", "/tlog/other/verdicts/checkpoint", "/tlog/" + jobstest.Namespace + "/other/checkpoint",
		"/tlog/" + jobstest.Namespace + "/verdicts/start.json", "/tlog/" + jobstest.Namespace + "/verdicts/tile/../checkpoint",
	} {
		answer, _ := get(t, p, path)
		if answer.StatusCode != http.StatusNotFound || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %s", path, answer.Status, answer.Header.Get("Cache-Control"))
		}
	}
}

// A log that something is wrong with is never shown as good, whatever it is.
func TestNeverGreen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, state string
		set         func(t *testing.T, store *auditstore.Store)
	}{
		{"nothing on record", "empty", func(*testing.T, *auditstore.Store) {}},
		{"rejected", "wrong", func(t *testing.T, store *auditstore.Store) {
			jobstest.Verify(t, store, 1, 2)
			jobstest.PutVerdict(t, store, 3, verdict.DigestMismatch)
		}},
		{"broken", "wrong", func(t *testing.T, store *auditstore.Store) {
			jobstest.Verify(t, store, 1, 2)
			jobstest.Judge(t, store, 3, verdict.Verified, "", 9, 3)
		}},
		{"the first ones are missing", "warning", func(t *testing.T, store *auditstore.Store) { jobstest.Verify(t, store, 3, 4) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			c.set(t, store)
			p := newPage(t, store)
			_, body := get(t, p, "/overview.json")
			if !strings.Contains(body, `"state":"`+c.state+`"`) {
				t.Errorf("%s", body)
			}
			if _, svg := get(t, p, "/logs/"+jobstest.Namespace+"/badge.svg"); strings.Contains(svg, "#1a7f37") {
				t.Errorf("a green badge: %s", svg)
			}
		})
	}
}

func openStore(t testing.TB) *auditstore.Store { return auditstore.New(jobstest.OpenMemory(t)) }
