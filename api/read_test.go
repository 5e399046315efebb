package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// A namespace is shown as the published client reads it, and comes to be Online with its first
// post.
func TestNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	want := client.Namespace{
		Name: namespace, Status: client.Initialization, LogDirectory: "https://log.example",
		ReportsURI: "/namespaces/log.v1/reports", AuditsURI: "/namespaces/log.v1/audits", SignatureVersion: 1, Ciphersuite: 1,
	}
	if got := get[client.Namespace](t, w, "/namespaces/"+namespace); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	wantProblem(t, w.do(t, http.MethodGet, "/namespaces/"+namespace+"/last-verified-epoch", ""), http.StatusNotFound, "not-found")
	w.sign(t, 5, 6)
	want.Status, want.Root = client.Online, "5/"+hexOf(5)
	all := get[client.Namespaces](t, w, "/namespaces")
	if len(all.Namespaces) != 1 || all.Namespaces[0] != want {
		t.Errorf("%+v, want %+v", all, want)
	}
	if got := get[client.Info](t, w, "/info"); len(got.Logs) != 1 || got.Logs[0] != namespace || got.Keys[0].NotBefore != 0 {
		t.Errorf("%+v", got)
	}
}

func TestDisabledNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, _ *api.Config, n *api.Namespace) { n.Disabled = true })
	if got := get[client.Namespace](t, w, "/namespaces/"+namespace); got.Status != client.Disabled {
		t.Errorf("%+v", got)
	}
}

// What is verified is shown once it is, up to what is wrong, and the same verdict as the same job.
func TestLastVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.verify(t, 5, 8)
	w.judge(t, verdict.Verdict{Epoch: 9, Outcome: verdict.Rejected, Reason: "digest_mismatch"})
	w.verify(t, 10, 11)
	path := "/namespaces/" + namespace + "/last-verified-epoch"
	got := get[client.LastVerified](t, w, path)
	if got.Epoch != 8 || got.StartHash != hexOf(7) || got.EndHash != hexOf(8) || len(got.JobID) != 36 {
		t.Errorf("%+v", got)
	}
	if again := get[client.LastVerified](t, newWorldOn(t, w.bucket, w.store, nil), path); again != got {
		t.Errorf("another replica says %+v, not %+v", again, got)
	}
	if n := get[client.Namespace](t, w, "/namespaces/"+namespace); n.LastVerifiedEpoch == nil || *n.LastVerifiedEpoch != 8 {
		t.Errorf("%+v", n)
	}
}

// An incident that nobody has acknowledged holds back what is called verified.
func TestLastVerifiedBeforeContradiction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.verify(t, 1, 9)
	must(t, incident.Recorder{Store: w.store}.Raise(t.Context(), equivocation(7)))
	if got := get[client.LastVerified](t, w, "/namespaces/"+namespace+"/last-verified-epoch"); got.Epoch != 6 {
		t.Errorf("%+v", got)
	}
}

// An audit that begins elsewhere than its anchor says verifies nothing.
func TestLastVerifiedFromAnchor(t *testing.T) {
	t.Parallel()
	for digest, status := range map[string]int{hexOf(4): http.StatusOK, hexOf(9): http.StatusNotFound} {
		w := newWorld(t, func(_ *world, _ *api.Config, n *api.Namespace) {
			n.First, n.Anchor = 5, verdict.Anchor{Epoch: 4, Digest: digest}
		})
		w.verify(t, 5, 8)
		read(t, w.do(t, http.MethodGet, "/namespaces/"+namespace+"/last-verified-epoch", ""), status)
	}
}

type shownVerdict struct {
	verdict.Verdict
	Overruled *report.OverruledEpoch `json:"overruled"`
}

type verdictPage struct {
	Namespace string         `json:"namespace"`
	Verdicts  []shownVerdict `json:"verdicts"`
	Next      string         `json:"next"`
}

// The verdict that counts is shown, and how it came to count.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.verify(t, 1, 2)
	w.judge(t, verdict.Verdict{Epoch: 3, Outcome: verdict.Rejected, Reason: "signature_invalid", Detail: "an <old> key"})
	first, hash, err := w.store.VerdictObject(t.Context(), namespace, 3)
	must(t, err)
	later := first
	later.Outcome, later.Reason, later.Detail, later.PreviousDigest, later.Digest = verdict.Verified, "", "", hexOf(2), hexOf(3)
	must(t, w.store.PutOverruling(t.Context(), verdict.Overruling{
		Schema: verdict.Schema, Namespace: namespace, Epoch: 3, Number: 1, By: "me", Reason: "a wrong key", At: time.Now().UTC(),
		Overruled: verdict.Overruled{Outcome: first.Outcome, Reason: first.Reason, SHA256: fmt.Sprintf("%x", hash)}, Verdict: later,
	}))
	path := "/namespaces/" + namespace + "/verdicts"
	if got := get[shownVerdict](t, w, path+"/2"); got.Epoch != 2 || got.Outcome != verdict.Verified || got.Overruled != nil {
		t.Errorf("%+v", got)
	}
	if got := get[shownVerdict](t, w, path+"/3"); got.Outcome != verdict.Verified || got.Overruled == nil || got.Overruled.Was != verdict.Rejected {
		t.Errorf("%+v", got)
	}
	wantProblem(t, w.do(t, http.MethodGet, path+"/4", ""), http.StatusNotFound, "not-found")
	page := get[verdictPage](t, w, path+"?from=2&to=7")
	if len(page.Verdicts) != 2 || page.Verdicts[0].Epoch != 2 || page.Verdicts[1].Overruled == nil || page.Next != "" {
		t.Errorf("%+v", page)
	}
}

// Pages follow each other without a gap.
func TestVerdictPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.verify(t, 1, 1200)
	w.verify(t, 2_000_001, 2_000_003)
	next, epochs := "/namespaces/"+namespace+"/verdicts?from=3", []uint64{}
	for pages := 0; next != ""; pages++ {
		page := get[verdictPage](t, w, next)
		for _, v := range page.Verdicts {
			epochs = append(epochs, v.Epoch)
		}
		if next = page.Next; len(page.Verdicts) > 1000 || pages > 5 {
			t.Fatalf("%d verdicts on page %d", len(page.Verdicts), pages)
		}
	}
	if len(epochs) != 1198+3 || epochs[0] != 3 || epochs[1197] != 1200 || epochs[1200] != 2_000_003 {
		t.Errorf("%d epochs", len(epochs))
	}
	for _, query := range []string{"from=0", "from=x", "to=-1", "from=5&to=4", "from=1&from=2", "to=1000000000000"} {
		wantProblem(t, w.do(t, http.MethodGet, "/namespaces/"+namespace+"/verdicts?"+query, ""), http.StatusBadRequest, "malformed")
	}
}

// The status has what is covered by tier.
func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 9)
	w.verify(t, 5, 6)
	w.judge(t, verdict.Verdict{Epoch: 7, Outcome: verdict.Rejected, Reason: "digest_mismatch", Detail: "so"})
	w.verify(t, 9, 9)
	_, err := w.store.PutChain(t.Context(), verdict.Chain{Schema: verdict.Schema, Namespace: namespace, Generation: 1, Shards: []verdict.ChainEntry{{Runs: []verdict.ChainSpan{
		{From: 5, To: 7, PreviousDigest: hexOf(4), Digest: hexOf(7)}, {From: 9, To: 12, PreviousDigest: hexOf(8), Digest: hexOf(12)},
	}}}})
	must(t, err)
	got := get[struct {
		report.Status
		Seen   []epochset.Range `json:"seen"`
		Signed []epochset.Range `json:"signed"`
	}](t, w, "/namespaces/"+namespace+"/status")
	if !slices.Equal(got.Seen, []epochset.Range{{From: 5, To: 7}, {From: 9, To: 12}}) {
		t.Errorf("seen %v", got.Seen)
	}
	if got.Head != 6 || got.VerifiedCount != 3 || got.RejectedCount != 1 || len(got.Gaps) != 1 || len(got.Stretches) != 2 ||
		len(got.Signed) != 1 || got.Signed[0] != (epochset.Range{From: 5, To: 9}) {
		t.Errorf("%+v", got)
	}
}

func TestIncidents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	must(t, incident.Recorder{Store: w.store}.Raise(t.Context(), equivocation(7)))
	got := get[struct {
		Incidents      []incident.Open `json:"incidents"`
		Unacknowledged map[string]int  `json:"unacknowledged"`
	}](t, w, "/namespaces/"+namespace+"/incidents")
	if len(got.Incidents) != 1 || got.Incidents[0].From != 7 || got.Unacknowledged["equivocation"] != 1 {
		t.Errorf("%+v", got)
	}
}

// A fault says nothing of what is behind it, and is logged.
func TestFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 5)
	must(t, w.bucket.WriteAll(t.Context(), namespace+"/verdicts/000000000/000000000007.json", []byte("no verdict"), nil))
	for _, path := range []string{"/verdicts/7", "/verdicts", "/status", "/last-verified-epoch"} {
		r := w.do(t, http.MethodGet, "/namespaces/"+namespace+path, "")
		p := wantProblem(t, r, http.StatusServiceUnavailable, "fault")
		if strings.Contains(p.Detail, "verdict") || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v, %+v", path, r.Header, p)
		}
	}
	if !strings.Contains(w.log.String(), "000000000007.json") {
		t.Errorf("logged: %s", w.log.String())
	}
}

// One whose clock is off says that, and that it may pass.
func TestClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, c *api.Config, n *api.Namespace) {
		var err error
		n.Auditor, err = auditor.New(auditor.Config{
			Namespace: namespace, Store: w.store, Keys: c.Keys, Ciphersuite: 1, Conflict: noConflict,
			Now: func() time.Time { return time.Now().Add(time.Hour) },
		})
		must(t, err)
	})
	wantProblem(t, w.post(t, audits, postOf(5, hexOf(5))), http.StatusServiceUnavailable, "clock")
}

// A defect in a handler ends one request.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *api.Config, _ *api.Namespace) {
		c.Report = func(_ context.Context, _ string, _ api.Report) error { panic(errors.New("a defect")) }
	})
	wantProblem(t, w.post(t, "/namespaces/"+namespace+"/reports", reportOf(5)), http.StatusServiceUnavailable, "fault")
	if !strings.Contains(w.log.String(), "a defect") {
		t.Errorf("logged: %s", w.log.String())
	}
}

// What a client has already is not sent again, compressed or not.
func TestNotModified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 5)
	w.verify(t, 1, 50)
	for _, path := range []string{audits + "/5", "/info", "/namespaces/" + namespace + "/verdicts", "/openapi.json"} {
		for _, encoding := range []string{"", "gzip"} {
			r := w.do(t, http.MethodGet, path, "", "Accept-Encoding", encoding)
			read(t, r, http.StatusOK)
			tag := r.Header.Get("ETag")
			if len(tag) < 10 || tag[0] != '"' {
				t.Fatalf("%s: tag %s", path, tag)
			}
			for _, offered := range []string{tag, `"other", ` + tag, "W/" + tag, "*"} {
				r := w.do(t, http.MethodGet, path, "", "Accept-Encoding", encoding, "If-None-Match", offered)
				if data := read(t, r, http.StatusNotModified); len(data) > 0 || r.Header.Get("Cache-Control") == "" {
					t.Errorf("%s: %q, %v", path, data, r.Header)
				}
			}
			read(t, w.do(t, http.MethodGet, path, "", "If-None-Match", `"other"`), http.StatusOK)
		}
	}
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.verify(t, 1, 50)
	path := "/namespaces/" + namespace + "/verdicts"
	plain := w.do(t, http.MethodGet, path, "")
	packed := w.do(t, http.MethodGet, path, "", "Accept-Encoding", "gzip")
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == plain.Header.Get("ETag") || packed.Header.Get("Vary") == "" {
		t.Errorf("%v", packed.Header)
	}
	if got := unpack(t, packed.Body); !bytes.Equal(got, read(t, plain, http.StatusOK)) {
		t.Errorf("unpacked: %.100s", got)
	}
}

func unpack(t *testing.T, r io.Reader) []byte {
	t.Helper()
	z, err := gzip.NewReader(r)
	must(t, err)
	data, err := io.ReadAll(z)
	must(t, err)
	return data
}

func equivocation(epoch uint64) alert.Alert {
	return alert.OfDoubleName(namespace, epoch, []verdict.ChainName{{PreviousDigest: hexOf(1), Digest: hexOf(2)}, {PreviousDigest: hexOf(1), Digest: hexOf(3)}}, "two")
}

// A log of which something cannot be read hides no other log, and says what it can.
func TestNamespaceWithFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sign(t, 5, 5)
	w.verify(t, 5, 6)
	must(t, w.bucket.WriteAll(t.Context(), namespace+"/verdicts/000000000/000000000007.json", []byte("no verdict"), nil))
	for range 2 {
		all := get[client.Namespaces](t, w, "/namespaces")
		if len(all.Namespaces) != 1 || all.Namespaces[0].LastVerifiedEpoch != nil || all.Namespaces[0].Root == "" {
			t.Errorf("%+v", all)
		}
	}
	if got := get[client.Namespace](t, w, "/namespaces/"+namespace); got.Status != client.Online {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(w.log.String(), "000000000007.json") {
		t.Errorf("logged: %s", w.log.String())
	}
}
