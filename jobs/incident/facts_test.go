package incident_test

import (
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	digestA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	digestC = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// contradicted is the alert on a second audit of epoch 12 that found something else.
func contradicted(change func(*verdict.Verdict)) alert.Alert {
	recorded := jobstest.GoodVerdict(12)
	found := recorded
	change(&found)
	return alert.OfContradiction(recorded, found, nil)
}

func rejectedAs(reason verdict.Reason) func(*verdict.Verdict) {
	return func(v *verdict.Verdict) { v.Outcome, v.Reason = verdict.Rejected, reason }
}

// facts are such as an epoch may have beside one another.
func facts() map[string]alert.Alert {
	third := append(names(12), nameOf("third", 12))
	neighbours := jobstest.RejectedVerdict(12)
	neighbours.Reason, neighbours.Detail = verdict.Equivocation, "epoch 12 begins with another digest"
	return map[string]alert.Alert{
		"two batches":              alert.OfDoubleName(jobstest.Namespace, 12, names(12), "by its names"),
		"three batches":            alert.OfDoubleName(jobstest.Namespace, 12, third, "by its names"),
		"two others":               alert.OfDoubleName(jobstest.Namespace, 12, third[1:], "by its names"),
		"does not fit, a verdict":  alert.OfVerdict(neighbours),
		"replaced by another":      contradicted(func(v *verdict.Verdict) { v.Digest = digestA }),
		"replaced by a third":      contradicted(func(v *verdict.Verdict) { v.Digest = digestB }),
		"begins otherwise":         contradicted(func(v *verdict.Verdict) { v.PreviousDigest = digestB }),
		"replaced by junk":         contradicted(rejectedAs(verdict.MalformedProof)),
		"replaced by what reuses":  contradicted(rejectedAs(verdict.OverlappingLabels)),
		"does not fit, found late": contradicted(rejectedAs(verdict.Equivocation)),
		"broken":                   alert.OfBreak(jobstest.Namespace, 12, digestA, digestB),
		"broken otherwise":         alert.OfBreak(jobstest.Namespace, 12, digestC, digestB),
		"goes back":                alert.OfRollback(jobstest.Namespace, 12, 3, digestB),
		"goes back further":        alert.OfRollback(jobstest.Namespace, 12, 2, digestC),
		"island":                   alert.OfIsland(jobstest.Namespace, 12, digestC, digestA),
		"ends with an old digest":  alert.OfBrokenChain(jobstest.Namespace, 12, verdict.DigestReused, "a detail", digestB),
	}
}

// Whoever acknowledges one thing about an epoch has acknowledged nothing else: each other one is
// open, and told of once however often it is found.
func TestAcknowledgedHidesNoOtherFact(t *testing.T) {
	t.Parallel()
	for seen, first := range facts() {
		t.Run(seen, func(t *testing.T) {
			t.Parallel()
			store := jobstest.NewArchiveStore(t).Store
			r := newRecorder(store)
			jobstest.Must(t, r.Raise(t.Context(), first))
			_, _, err := acknowledge(t, r, first.Incident)
			jobstest.Must(t, err)
			want := []string{"acknowledged " + first.Incident}
			for name, a := range facts() {
				if name != seen {
					want = append(want, "critical "+a.Incident)
				}
				for range 2 {
					jobstest.Must(t, r.Raise(t.Context(), a))
				}
			}
			got := listed(t, store)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("open are\n%q, want\n%q", got, want)
			}
			if notices := jobstest.Notices(t, store); len(notices) != len(facts()) {
				t.Errorf("%d notices of %d facts", len(notices), len(facts()))
			}
		})
	}
}

// A walk of names, a look at what is listed, a worker and a command that find the same batches raise
// one incident. So do a walk of names and a look at verdicts that find the same break.
func TestTheSameFactIsOneIncident(t *testing.T) {
	t.Parallel()
	recorded, other := jobstest.GoodVerdict(12), jobstest.GoodVerdict(12)
	other.Digest = jobstest.DigestOf("other", 12)
	both := []verdict.ChainName{
		{PreviousDigest: other.PreviousDigest, Digest: other.Digest}, {PreviousDigest: recorded.PreviousDigest, Digest: recorded.Digest},
	}
	several := recorded
	several.Outcome, several.Reason, several.Detail = verdict.Rejected, verdict.Equivocation, "2 batches"
	judged := several
	judged.Incident = alert.DoubleNameIncident(12, both)
	if err := judged.Validate(); err != nil {
		t.Error(err)
	}
	for name, all := range map[string][]alert.Alert{
		"two batches": {
			alert.OfDoubleName(jobstest.Namespace, 12, both, "by its names"),
			alert.OfDoubleName(jobstest.Namespace, 12, []verdict.ChainName{both[1], both[0], both[1]}, "by its names"),
			alert.OfContradiction(recorded, other, nil), alert.OfContradiction(recorded, several, both), alert.OfVerdict(judged),
		},
		"a break": {
			alert.OfBreak(jobstest.Namespace, 12, digestA, digestB),
			alert.OfBrokenChain(jobstest.Namespace, 12, verdict.BrokenChain, "by their names", digestA, digestB),
			alert.OfIsland(jobstest.Namespace, 12, digestA, digestB),
		},
	} {
		store := jobstest.NewArchiveStore(t).Store
		for _, a := range all {
			jobstest.Must(t, newRecorder(store).Raise(t.Context(), a))
		}
		if open, notices := listed(t, store), jobstest.Notices(t, store); len(open) != 1 || len(notices) != 1 {
			t.Errorf("%s: open are %q, notices %q", name, open, notices)
		}
	}
}

// Incidents of versions whose names did not tell facts apart keep them: they are listed, shown and
// acknowledged, and the same fact does not come again under another name. Another one does.
func TestFormerNamesStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		incident, reason, detail string
		same, other              alert.Alert
	}{
		{
			"equivocation/000000000012", "equivocation",
			"by its names: " + digestA + "/" + digestB + " and " + digestA + "/" + digestC,
			alert.OfDoubleName(jobstest.Namespace, 12, []verdict.ChainName{{PreviousDigest: digestA, Digest: digestB}, {PreviousDigest: digestA, Digest: digestC}}, "now"),
			alert.OfDoubleName(jobstest.Namespace, 12, names(12), "now"),
		},
		{
			"contradiction/000000000012/chain", "broken_chain",
			"by their names: epoch 11 ends with digest " + digestA + ", epoch 12 begins with " + digestB,
			alert.OfBreak(jobstest.Namespace, 12, digestA, digestB), alert.OfRollback(jobstest.Namespace, 12, 3, digestB),
		},
		{
			"contradiction/000000000012/chain", "rollback", "epoch 12 begins with digest " + digestB + ", with which epoch 3 ended",
			alert.OfRollback(jobstest.Namespace, 12, 3, digestB), alert.OfBreak(jobstest.Namespace, 12, digestA, digestB),
		},
		{
			"contradiction/000000000012", "malformed_proof", contradicted(rejectedAs(verdict.MalformedProof)).Detail,
			contradicted(rejectedAs(verdict.MalformedProof)), contradicted(rejectedAs(verdict.OverlappingLabels)),
		},
	} {
		store := jobstest.NewArchiveStore(t).Store
		r := newRecorder(store)
		kind, err := alert.ParseIncident(c.incident)
		jobstest.Must(t, err)
		jobstest.Must(t, r.Raise(t.Context(), alert.Alert{
			Kind: kind, Namespace: jobstest.Namespace, Incident: c.incident, Epoch: 12, Reason: c.reason, Summary: "of a former version", Detail: c.detail,
		}))
		jobstest.Must(t, r.Raise(t.Context(), c.same))
		wantListed(t, store, "critical "+c.incident)
		_, created, err := acknowledge(t, r, c.incident)
		if err != nil || !created {
			t.Errorf("%s: acknowledged is %v, %v", c.incident, created, err)
		}
		jobstest.Must(t, r.Raise(t.Context(), c.same))
		wantListed(t, store, "acknowledged "+c.incident)
		list, err := incident.ReadList(t.Context(), store, jobstest.Namespace)
		jobstest.Must(t, err)
		for _, a := range []alert.Alert{c.same, c.other} {
			if covered, err := list.Covers(t.Context(), a); err != nil || covered != (a == c.same) {
				t.Errorf("%s covers %s: %v, %v", c.incident, a.Detail, covered, err)
			}
		}
		jobstest.Must(t, r.Raise(t.Context(), c.other))
		wantListed(t, store, "critical "+c.other.Incident, "acknowledged "+c.incident)
	}
}

func wantListed(t *testing.T, store *auditstore.Store, want ...string) {
	t.Helper()
	if got := listed(t, store); !slices.Equal(got, want) {
		t.Errorf("open are %q, want %q", got, want)
	}
}
