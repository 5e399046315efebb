package report

import (
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// names are the names of an epoch with two batches.
func names(epoch uint64) []verdict.ChainName {
	return []verdict.ChainName{{PreviousDigest: jobstest.DigestAfter(epoch - 1), Digest: jobstest.DigestAfter(epoch)},
		{PreviousDigest: jobstest.DigestAfter(epoch - 1), Digest: jobstest.DigestOf("other", epoch)}}
}

// acknowledgeAll acknowledges whatever is open.
func acknowledgeAll(t *testing.T, r incident.Recorder) {
	t.Helper()
	l, err := incident.ReadList(t.Context(), r.Store, jobstest.Namespace)
	jobstest.Must(t, err)
	for _, o := range l.Open {
		_, _, err := r.Acknowledge(t.Context(), incident.Acknowledgement{
			Namespace: jobstest.Namespace, Incident: o.Incident, By: "alice", Reason: "dealt with",
		})
		jobstest.Must(t, err)
	}
}

// Whoever found it: while something is wrong and nobody has acknowledged it, no status is good and
// no head passes it. Acknowledged, it counts strictly only; but nothing lets the head pass an epoch
// that is not verified or does not go on.
func TestNothingIsGoodWhileSomethingIsWrong(t *testing.T) {
	t.Parallel()
	verified := func(epoch uint64) verdict.Verdict { return jobstest.GoodVerdict(epoch) }
	for _, c := range []struct {
		name   string
		reject uint64 // an epoch; 0: all are verified
		alert  alert.Alert
		// head while it is open, and once it is acknowledged
		head, after uint64
		wrong       bool
	}{
		{"nothing", 0, alert.Alert{}, 20, 20, false},
		{"contradiction by reverify", 0, alert.OfContradiction(verified(7), jobstest.RejectedVerdict(7), nil), 6, 20, true},
		{"broken chain", 0, alert.OfBreak(jobstest.Namespace, 7, "a digest", "another"), 6, 20, true},
		{"two names", 0, alert.OfDoubleName(jobstest.Namespace, 7, names(7), ""), 6, 20, true},
		{"names changed", 0, alert.OfNamesChanged(jobstest.Namespace, 7, "went", "", "", "x"), 6, 20, true},
		{"at the first epoch", 0, alert.OfDoubleName(jobstest.Namespace, 1, names(1), ""), 0, 20, true},
		{"rejected", 7, alert.OfVerdict(jobstest.RejectedVerdict(7)), 6, 6, true},
		{"sealed mismatch", 0, alert.OfSealedMismatch(jobstest.Namespace, 0, ""), 20, 20, true},
		{"history mismatch", 0, alert.OfHistoryMismatch(jobstest.Namespace, 1, ""), 20, 20, true},
		{"skipped", 0, alert.OfSkipped(jobstest.Namespace, 21, 22), 20, 20, true},
		{"silent", 0, alert.OfSilent(jobstest.Namespace, 20, jobstest.GoodVerdict(1).FinishedAt), 20, 20, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := auditstore.New(jobstest.OpenMemory(t))
			r := incident.Recorder{Store: store, Log: zerolog.Nop()}
			for epoch := range uint64(20) {
				v := verified(epoch + 1)
				if v.Epoch == c.reject {
					v = jobstest.RejectedVerdict(v.Epoch)
				}
				_, _, err := store.PutVerdict(t.Context(), v)
				jobstest.Must(t, err)
			}
			if c.alert.Kind != "" {
				jobstest.Must(t, r.Raise(t.Context(), c.alert))
			}
			check := func(when string, head uint64, wrong, strict bool) {
				t.Helper()
				s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0, 0)
				if err != nil || s.Head != head || s.Good() == wrong || s.Wrong(true) != strict || (s.HeldBackBy != "") != (head < 20 && c.reject == 0) {
					t.Errorf("%s: %v, head %d held back by %q, good: %v, wrong strictly: %v", when, err, s.Head, s.HeldBackBy, s.Good(), s.Wrong(true))
				}
				h, err := ReadHead(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 0)
				if err != nil || h.Head != head || h.Wrong(false) != wrong || h.Wrong(true) != strict {
					t.Errorf("%s: %v, %+v", when, err, h)
				}
				if head > 0 && h.Digest != jobstest.DigestAfter(head) {
					t.Errorf("%s: the digest is not that of epoch %d", when, head)
				}
			}
			check("open", c.head, c.wrong, c.wrong)
			acknowledgeAll(t, r)
			check("acknowledged", c.after, false, c.wrong)
		})
	}
}

// A rejection that is on record without its incident, as after a copy of the verdicts alone, is
// wrong all the same; and what lies outside a range is no matter of it.
func TestVerdictsAloneCount(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	for epoch := range uint64(20) {
		v := jobstest.GoodVerdict(epoch + 1)
		if v.Epoch == 7 {
			v = jobstest.RejectedVerdict(7)
		}
		_, _, err := store.PutVerdict(t.Context(), v)
		jobstest.Must(t, err)
	}
	r := incident.Recorder{Store: store, Log: zerolog.Nop()}
	jobstest.Must(t, r.Raise(t.Context(), alert.OfDoubleName(jobstest.Namespace, 15, names(15), "")))
	for _, c := range []struct {
		from, to uint64
		good     bool
	}{{0, 0, false}, {1, 6, true}, {7, 7, false}, {8, 14, true}, {8, 15, false}, {16, 20, true}} {
		s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, c.from, c.to)
		if err != nil || s.Good() != c.good {
			t.Errorf("%d to %d: good is %v, %v", c.from, c.to, s.Good(), err)
		}
	}
}

// The names of a log that contradict each other are dealt with once all of them are acknowledged.
func TestContradictingNamesAreAcknowledged(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	r := incident.Recorder{Store: store, Log: zerolog.Nop()}
	s := ChainStatus{Doubles: []verdict.ChainRange{{From: 3, To: 4}}, Breaks: []uint64{9}, BreakDigests: [][2]string{{"a digest", "another"}}}
	for i, a := range []alert.Alert{
		alert.OfDoubleName(jobstest.Namespace, 3, names(3), ""), alert.OfDoubleName(jobstest.Namespace, 4, names(4), ""), alert.OfBreak(jobstest.Namespace, 9, "a digest", "another"),
	} {
		jobstest.Must(t, r.Raise(t.Context(), a))
		acknowledgeAll(t, r)
		l, err := incident.ReadList(t.Context(), store, jobstest.Namespace)
		jobstest.Must(t, err)
		got, err := s.isAcknowledged(t.Context(), jobstest.Namespace, l)
		if err != nil || got != (i == 2) {
			t.Errorf("with %d of 3 acknowledged: %v, %v", i+1, got, err)
		}
	}
	whole := ChainStatus{}
	if got, err := whole.isAcknowledged(t.Context(), jobstest.Namespace, incident.List{}); err != nil || got {
		t.Errorf("there is nothing to acknowledge: %v, %v", got, err)
	}
}

// Whoever acknowledged that an epoch's batch looks different now is told of a second history all the
// same, and the head does not pass it.
func TestAcknowledgedHidesNoOtherHistory(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	r := incident.Recorder{Store: store, Log: zerolog.Nop()}
	for epoch := range uint64(9) {
		_, _, err := store.PutVerdict(t.Context(), jobstest.GoodVerdict(epoch+1))
		jobstest.Must(t, err)
	}
	recorded := jobstest.GoodVerdict(7)
	damaged, other := recorded, recorded
	damaged.Outcome, damaged.Reason = verdict.Rejected, verdict.MalformedProof
	other.Digest = jobstest.DigestOf("other", 7)
	jobstest.Must(t, r.Raise(t.Context(), alert.OfContradiction(recorded, damaged, nil)))
	acknowledgeAll(t, r)
	jobstest.Must(t, r.Raise(t.Context(), alert.OfContradiction(recorded, other, nil)))
	s, err := ReadStatus(t.Context(), store, jobstest.Namespace, verdict.Anchor{}, 1, 9)
	if err != nil || !s.Wrong(false) || s.Head != 6 {
		t.Errorf("wrong is %v, the head is %d, %v", s.Wrong(false), s.Head, err)
	}
}
