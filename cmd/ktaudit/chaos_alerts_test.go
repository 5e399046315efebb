package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

// webhook takes alerts, and writes down when it took which.
type webhook struct {
	*httptest.Server
	mu    sync.Mutex
	deaf  bool
	taken map[string][]delivery // by incident
}

type delivery struct {
	at time.Time
	alert.Alert
}

func newWebhook(t *testing.T) *webhook {
	w := &webhook{taken: map[string][]delivery{}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		d := delivery{at: time.Now()}
		if err := json.NewDecoder(r.Body).Decode(&d.Alert); err != nil {
			t.Errorf("an alert that is none: %v", err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.deaf {
			w.mu.Unlock()
			select { // no answer, and then a bad one
			case <-time.After(rand.N(2 * time.Second)):
			case <-r.Context().Done():
			}
			w.mu.Lock()
			answer.WriteHeader(http.StatusBadGateway)
			return
		}
		if !d.Resolved() {
			incident := jobstest.WithoutHash(d.Incident)
			w.taken[incident] = append(w.taken[incident], d)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *webhook) refuse() { w.setDeaf(true) }
func (w *webhook) accept() { w.setDeaf(false) }

func (w *webhook) setDeaf(deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = deaf
}

func (w *webhook) all() map[string][]delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.taken)
}

// hitches say when what went wrong.
type hitches []hitch

type hitch struct {
	name     string
	from, to time.Time
}

func (h *hitches) add(name string, from, to time.Time) { *h = append(*h, hitch{name, from, to}) }

// within reports whether anything went wrong then.
func (h hitches) within(from, to time.Time) bool {
	return slices.ContainsFunc(h, func(h hitch) bool { return h.from.Before(to) && from.Before(h.to.Add(time.Millisecond)) })
}

// expectation is what is to become of an epoch that was tampered with.
type expectation struct {
	reason   verdict.Reason
	incident string
}

// expected returns what is to become of the epochs so far that were tampered with.
func (s *storm) expected() map[uint64]expectation {
	all := map[uint64]expectation{}
	for epoch := uint64(1); epoch <= s.published; epoch++ {
		kind, ok := tampered(epoch)
		if !ok {
			continue
		}
		_, reason := simlog.Expected(kind)
		all[epoch] = expectation{reason, alert.OfVerdict(verdict.Verdict{Epoch: epoch, Reason: reason}).Incident}
	}
	return all
}

// allTold wants the webhook to have each alert that is due.
func (s *storm) allTold() error {
	taken := s.webhook.all()
	for epoch, want := range s.expected() {
		if len(taken[want.incident]) == 0 {
			return fmt.Errorf("epoch %d was rejected for %s, and nobody was told", epoch, want.reason)
		}
	}
	return nil
}

// check asks all oracles. What was published after quiet, nothing has disturbed.
func (s *storm) check(quiet time.Time) {
	s.t.Helper()
	s.checkLogs()
	s.checkVerdicts()
	s.checkStatus()
	s.checkAgain()
	s.checkOutbox()
	s.checkDeliveries(quiet)
}

// checkVerdicts wants one verdict on each epoch: the right one, and the one that was there from the
// first. Batches are kept whole.
func (s *storm) checkVerdicts() {
	s.t.Helper()
	expected, verdicts := s.expected(), s.verdicts.verdicts()
	for epoch := uint64(1); epoch <= s.published; epoch++ {
		v, want := verdicts[epoch], expected[epoch].reason
		if want == "" && v.Outcome != verdict.Verified || want != "" && (v.Outcome != verdict.Rejected || v.Reason != want) {
			kind, _ := tampered(epoch)
			s.t.Errorf("epoch %d, tampered with by %q: the verdict is %+v, want reason %q", epoch, kind, v, want)
		}
		if v.Batch.SHA256 == "" {
			continue // two batches
		}
		kept, err := filepath.Glob(filepath.Join(s.store, "archive", fmt.Sprintf("%09d", epoch/1000), fmt.Sprintf("%012d*", epoch)))
		if err != nil || len(kept) != 1 {
			s.t.Errorf("epoch %d: kept are %q, %v", epoch, kept, err)
			continue
		}
		batch, err := os.ReadFile(kept[0])
		if hash := fmt.Sprintf("%x", sha256.Sum256(batch)); err != nil || hash != v.Batch.SHA256 {
			s.t.Errorf("epoch %d: %s has %d bytes with hash %s, judged were %+v (%v)", epoch, kept[0], len(batch), hash, v.Batch, err)
		}
	}
	if uint64(len(verdicts)) != s.published {
		s.t.Errorf("%d verdicts on %d epochs", len(verdicts), s.published)
	}
}

// checkStatus wants status to say the same, and what is sealed to be what is there.
func (s *storm) checkStatus() {
	s.t.Helper()
	var status report.Status
	s.ktauditExits(1, &status, "status", "--to", fmt.Sprint(s.published)) // something is rejected
	rejected := uint64(len(s.expected()))
	if status.RejectedCount != rejected || status.VerifiedCount != s.published-rejected || status.MissingCount != 0 || len(status.Breaks) != 0 {
		s.t.Errorf("status is %+v, want %d epochs, %d of them rejected", status, s.published, rejected)
	}
	s.ktaudit(nil, "seal", "--check")
}

// checkAgain looks at every epoch once more, in the folders where the server keeps everything.
func (s *storm) checkAgain() {
	s.t.Helper()
	cmd := s.command("reverify", "--from", "1", "--to", fmt.Sprint(s.published), "--log-directory", s.s3.BucketDir("log"),
		"--signatures", s.s3.BucketDir("signatures"), "--audit-store", s.s3.BucketDir("audit"))
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("as before      %d\n", s.published); err != nil || !strings.Contains(string(out), want) {
		s.t.Errorf("reverify: %v, want all %d epochs as before:\n%s", err, s.published, out)
	}
}

// notices reads the alerts in a folder of the outbox.
func (s *storm) notices(folder string) []alert.Alert {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.store, "alerts", folder, "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var all []alert.Alert
	for _, file := range files {
		var a alert.Alert
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err == nil {
			err = json.Unmarshal(data, &a)
		}
		if err != nil {
			s.t.Errorf("%s: %v", file, err)
		}
		all = append(all, a)
	}
	return all
}

// allOver wants nothing to be left to tell: no alert that the webhook was not sent, and no condition
// that has not ended. Others are open while ktaudit's log waits to write of many at once.
func (s *storm) allOver() error {
	open, taken := s.notices("open"), s.webhook.all()
	ended := map[string]bool{}
	for _, a := range open {
		ended[a.Incident] = ended[a.Incident] || a.Resolved()
	}
	for _, a := range open {
		if len(taken[jobstest.WithoutHash(a.Incident)]) == 0 || a.Kind.Ends() && !ended[a.Incident] {
			return fmt.Errorf("of %d open notices, this is not over: %+v", len(open), a)
		}
	}
	return nil
}

// checkOutbox wants one notice for each epoch that was tampered with and no other critical one,
// ever: notices stay. Warnings there may be; much was slow, and clocks were wrong.
func (s *storm) checkOutbox() {
	s.t.Helper()
	found := map[string]bool{}
	names := map[string]string{}
	for _, a := range append(s.notices("open"), s.notices("closed")...) {
		if a.Severity == alert.Critical {
			incident := jobstest.WithoutHash(a.Incident)
			found[incident] = true
			if other, ok := names[incident]; ok && other != a.Incident {
				s.t.Errorf("the outbox has %s and %s, one of which is too many", other, a.Incident)
			}
			names[incident] = a.Incident
		} else if !a.Resolved() {
			s.note("warning: %s", a.Summary)
		}
	}
	s.compare("the outbox has", found)
}

// compare wants the incidents of the epochs that were tampered with, and no others.
func (s *storm) compare(who string, found map[string]bool) {
	s.t.Helper()
	due := map[string]bool{}
	for epoch, want := range s.expected() {
		due[want.incident] = true
		if !found[want.incident] {
			s.t.Errorf("%s no %s on epoch %d", who, want.incident, epoch)
		}
	}
	for incident := range found {
		if !due[incident] {
			s.t.Errorf("%s a false alarm: %s", who, incident)
		}
	}
}

// checkDeliveries wants the webhook to have been told of each incident once. Twice is allowed where
// a sender may have died, or the audit store failed, between sending the alert and marking it sent,
// or where clocks that differ let two send at once: something went wrong within the time that
// sending and marking may take. What was published when all was quiet must have come once.
func (s *storm) checkDeliveries(quiet time.Time) {
	s.t.Helper()
	const sending = 30 * time.Second
	found := map[string]bool{}
	twice := 0
	for incident, deliveries := range s.webhook.all() {
		if deliveries[0].Severity != alert.Critical {
			continue
		}
		found[incident] = true
		for i, d := range deliveries[1:] {
			twice++
			before := deliveries[i].at
			if before.After(quiet) || !s.hitches.within(before.Add(-sending), before.Add(sending)) {
				s.t.Errorf("%s came at %s and again at %s, though nothing went wrong", incident, before.UTC(), d.at.UTC())
			}
		}
	}
	s.compare("the webhook was told", found)
	s.note("%d alerts came twice", twice)
}
