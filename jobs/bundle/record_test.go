package bundle_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// overrule records a later verdict on epoch 2.
func overrule(t *testing.T, w *jobstest.World, number uint64, v verdict.Verdict) {
	t.Helper()
	jobstest.Must(t, w.Store.PutOverruling(t.Context(), verdict.Overruling{
		Schema: verdict.Schema, Namespace: jobstest.Namespace, Epoch: 2, Number: number, By: "Alice", Reason: "the key was wrong", At: time.Now().UTC(),
		Overruled: verdict.Overruled{Outcome: verdict.Rejected, Reason: verdict.MalformedProof, SHA256: strings.Repeat("0", 64)}, Verdict: v,
	}))
}

// What the auditor took back on record does not count, and is said to be taken back; the newest of
// its verdicts counts.
func TestOverruledClaims(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		later  []string // outcomes, in order
		want   bundle.Result
		claims []bool // overruled
	}{
		"never":               {nil, bundle.Shown, []bool{false}},
		"verified since":      {[]string{verdict.Verified}, bundle.NotShown, []bool{true}},
		"rejected again":      {[]string{verdict.Verified, verdict.Rejected}, bundle.Shown, []bool{true, false}},
		"verified after that": {[]string{verdict.Rejected, verdict.Verified}, bundle.NotShown, []bool{true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Malformed}})
			audits(t, w, true, 1, 2, 3)
			first, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 2)
			jobstest.Must(t, err)
			for i, outcome := range c.later {
				v := first
				if outcome == verdict.Verified {
					v = jobstest.GoodVerdict(2)
				}
				overrule(t, w, uint64(i)+1, v)
			}
			got, err := verify(t.Context(), write(t, w, 2), w.Keys)
			var overruled []bool
			for _, claim := range got.Claims {
				overruled = append(overruled, claim.Overruled)
			}
			if err != nil || got.Result != c.want || !slices.Equal(overruled, c.claims) || len(got.Overrulings) != len(c.later) {
				t.Errorf("%s, want %s: %+v, %v", got.Result, c.want, got.Claims, err)
			}
		})
	}
}

// A verified epoch that was overruled has its rejection in the bundle.
func TestRejectedByOverruling(t *testing.T) {
	t.Parallel()
	w := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
	audits(t, w, true, 1, 2, 3)
	v := jobstest.RejectedVerdict(2)
	overrule(t, w, 1, v)
	got, err := verify(t.Context(), write(t, w, 2), w.Keys)
	if err != nil || len(got.Claims) != 1 || !strings.Contains(got.Claims[0].Claim, "by overruling 1") || got.Result != bundle.NotShown {
		t.Errorf("%s: %+v, %v", got.Result, got.Claims, err)
	}
}

// That a batch is gone is shown by what there was, and by a later listing without it.
func TestWithdrawnClaims(t *testing.T) {
	t.Parallel()
	type change = func(files []file, v verdict.Verdict) []file
	lacks := func(prefix string) change {
		return func(files []file, _ verdict.Verdict) []file { return without(prefix)(files) }
	}
	listing := func(edited func(l *fetcher.Listing, v verdict.Verdict)) change {
		return func(files []file, v verdict.Verdict) []file {
			return editFindings(func(f *evidence.Findings) {
				for i := range f.Listings {
					edited(&f.Listings[i], v)
				}
			})(files)
		}
	}
	for name, c := range map[string]struct {
		archived bool
		change   change // nil: none
		want     bundle.Result
		says     string
	}{
		"the archived batch": {archived: true, want: bundle.Shown, says: "here it is"},
		"a signed digest":    {want: bundle.Shown, says: "so there was one"},
		"neither": {want: bundle.NotShown, says: "neither the batch", change: func(files []file, _ verdict.Verdict) []file {
			return editFindings(func(f *evidence.Findings) { f.SignedDigests = nil })(without("signatures/")(files))
		}},
		"no findings": {archived: true, change: lacks("evidence/"), want: bundle.NotShown, says: "no listing without it"},
		"no verdict":  {archived: true, change: lacks("verdicts/"), want: bundle.NotShown, says: "does not have the verdict"},
		"it is still listed": {archived: true, want: bundle.NotShown, says: "no listing without it", change: listing(func(l *fetcher.Listing, v verdict.Verdict) {
			l.Objects = append(l.Objects, fetcher.ListedObject{Key: v.Batch.Key})
		})},
		"a listing of before": {archived: true, want: bundle.NotShown, says: "no listing without it", change: listing(func(l *fetcher.Listing, v verdict.Verdict) {
			l.At = v.FinishedAt.Add(-time.Second)
		})},
		"a listing that broke off": {archived: true, want: bundle.NotShown, says: "no listing without it", change: listing(func(l *fetcher.Listing, _ verdict.Verdict) {
			l.Error = "it broke off"
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
			a := newAuditor(t, w, true)
			a.Archive = c.archived
			v, err := a.Audit(t.Context(), 2)
			jobstest.Must(t, err)
			raiseWithdrawn(t, w, 2, 2, 2)
			files := unpack(t, write(t, w, 2))
			if c.change != nil {
				files = c.change(files, v)
			}
			got, err := verify(t.Context(), pack(t, fit(t, files)), signature.Keys{})
			if err != nil || got.Result != c.want || got.Holds || len(got.Claims) != 1 || !strings.Contains(got.Claims[0].Proof, c.says) {
				t.Errorf("%s, want %s as %q: %+v, %v", got.Result, c.want, c.says, got.Claims, err)
			}
			if !strings.Contains(strings.Join(got.Limits, " "), "no file can hold an absence") {
				t.Errorf("limits are %q", got.Limits)
			}
		})
	}
}

func editFindings(change func(*evidence.Findings)) func([]file) []file {
	return edit("evidence/"+evidence.Kind+"-", func(data []byte) []byte {
		var f evidence.Findings
		if json.Unmarshal(data, &f) != nil {
			return data
		}
		change(&f)
		data, _ = json.Marshal(f)
		return data
	})
}
