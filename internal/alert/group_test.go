package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert/pauses"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// reader is a target that keeps the messages that it gets.
type reader struct {
	mu       sync.Mutex
	messages [][]Alert
	refuse   func([]Alert) bool // nil: nothing
	asked    int
}

func (r *reader) target(name string) Target {
	return Target{Name: name, Send: func(_ context.Context, alerts []Alert) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked++
		if r.refuse != nil && r.refuse(alerts) {
			return &jsonpost.Refusal{Err: errors.New("400")}
		}
		r.messages = append(r.messages, slices.Clone(alerts))
		return nil
	}}
}

// got returns the summaries of the messages.
func (r *reader) got() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, alerts := range r.messages {
		all = append(all, Summary(alerts))
	}
	return all
}

// count is how often each alert came, as "status incident".
func (r *reader) count() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[string]int{}
	for _, alerts := range r.messages {
		for _, a := range alerts {
			n[a.Status()+" "+a.Incident]++
		}
	}
	return n
}

func (r *reader) wait(t *testing.T, messages int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages", messages), func() bool { return len(r.got()) >= messages })
}

func rejectionFor(epoch uint64, reason verdict.Reason) Alert {
	v := rejection(epoch)
	v.Reason = reason
	return OfVerdict(v)
}

// patient options have pauses that no test outlives, and gather all that there is.
func patient() Options {
	return Options{pauses: []time.Duration{time.Hour}, gather: time.Minute, lease: 10 * time.Minute}
}

// A log that publishes thousands of bad epochs at once is one message for each reason, though each
// incident is delivered and on record by itself.
func TestAFloodIsOneMessageForEachCause(t *testing.T) {
	t.Parallel()
	store, r := auditstore.New(memblob.OpenBucket(nil)), &reader{}
	const flood = 5000
	want := map[verdict.Reason]int{}
	for epoch := uint64(100); epoch < 100+flood; epoch++ {
		reason := verdict.OverlappingLabels
		switch {
		case epoch%10 == 3:
			reason = verdict.DigestMismatch
		case epoch >= 5000:
			reason = verdict.MalformedProof
		}
		want[reason]++
		raise(t, store, rejectionFor(epoch, reason))
	}
	raise(t, store, OfSkipped(namespace, 7, 9))
	must(t, dispatcher(t, store, patient(), r.target("reader")).Flush(t.Context()))
	wantOpen(t, store, filled(OfSkipped(namespace, 7, 9)).noticeName()) // which lasts
	for _, epoch := range []uint64{100, 103, 5099} {
		ok, err := store.Outbox(namespace).Delivered(t.Context(), "reader", filled(rejectionFor(epoch, "")).noticeName())
		if !ok || err != nil {
			t.Errorf("epoch %d has no mark: %v", epoch, err)
		}
	}
	got := r.got()
	slices.Sort(got)
	wanted := []string{
		fmt.Sprintf("epochs between 100 and 4999 of %s rejected: overlapping_labels (%d)", namespace, want[verdict.OverlappingLabels]),
		fmt.Sprintf("epochs between 103 and 5093 of %s rejected: digest_mismatch (%d)", namespace, want[verdict.DigestMismatch]),
		fmt.Sprintf("epochs between 5000 and 5099 of %s rejected: malformed_proof (%d)", namespace, want[verdict.MalformedProof]),
		namespace + " has not published epoch 7, but has epoch 9",
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
	for incident, n := range r.count() {
		if n != 1 {
			t.Errorf("%s came %d times", incident, n)
		}
	}
	if n := len(r.count()); n != flood+1 {
		t.Errorf("%d alerts came", n)
	}
}

// The first rejection is told of at once, and so is one for another reason; what comes of a cause
// that people were just told of waits, whichever process sends, and is one message then.
func TestWhatComesAfterTheFirstWaits(t *testing.T) {
	onEachStore(t, func(t *testing.T, open opener) {
		r := &reader{}
		s, o := open(t), patient()
		var pending atomic.Int64
		o.OnPass = func(_ string, p Pending) { pending.Store(int64(p.Critical + p.Warning)) }
		start(t, dispatcher(t, s, o, r.target("reader")))
		raise(t, s, rejectionFor(100, verdict.OverlappingLabels))
		r.wait(t, 1)
		start(t, dispatcher(t, open(t), patient(), r.target("reader"))) // another process
		for epoch := range uint64(10) {
			raise(t, s, rejectionFor(101+epoch, verdict.OverlappingLabels))
		}
		for i, another := range []Alert{rejectionFor(200, verdict.DigestMismatch), OfSilent(namespace, 5, began), OfSkipped(namespace, 7, 9)} {
			raise(t, s, another)
			r.wait(t, 2+i)
		}
		must(t, Outbox{s}.Resolve(t.Context(), namespace, SkippedIncident(7), began.Add(time.Hour)))
		r.wait(t, 5)
		for incident := range r.count() {
			if strings.HasPrefix(incident, "firing rejected/0000000001") && !strings.HasSuffix(incident, "100") {
				t.Errorf("%s was sent at once", incident)
			}
		}
		eventually(t, "no target is to blame for what waits", func() bool { return pending.Load() == 0 })
		must(t, dispatcher(t, open(t), patient(), r.target("reader")).Flush(t.Context()))
		got := r.got()
		if want := "epochs 101–110 of " + namespace + " rejected: overlapping_labels (10)"; len(got) != 6 || got[5] != want {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
	})
}

// Pauses grow, so that what goes on for days is told of at a bounded rate, and end, so that nothing
// waits for ever.
func TestPausesGrowAndEnd(t *testing.T) {
	t.Parallel()
	store, r := auditstore.New(memblob.OpenBucket(nil)), &reader{}
	stop := start(t, dispatcher(t, store, Options{pauses: []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Hour}}, r.target("reader")))
	for epoch := range uint64(3) {
		raise(t, store, rejectionFor(epoch+1, verdict.DigestMismatch))
		r.wait(t, int(epoch+1))
	}
	stop()
	names := recordedPauses(t, store)
	var until int64
	var count int
	_, err := fmt.Sscanf(names[len(names)-1], "%d-%d-", &until, &count)
	if left := time.Until(time.UnixMilli(until)); err != nil || count != 2 || left < 50*time.Minute || left > time.Hour {
		t.Errorf("%q", names)
	}
}

// Ends are one message as well. None comes before its beginning, which may have to wait.
func TestEndsInGroups(t *testing.T) {
	t.Parallel()
	store, r := auditstore.New(memblob.OpenBucket(nil)), &reader{}
	resolve := func(epoch uint64) {
		must(t, Outbox{store}.Resolve(t.Context(), namespace, SkippedIncident(epoch), began.Add(time.Hour)))
	}
	for epoch := uint64(1); epoch <= 5; epoch++ {
		raise(t, store, OfSkipped(namespace, epoch, 9))
	}
	stop := start(t, dispatcher(t, store, patient(), r.target("reader")))
	r.wait(t, 1)
	raise(t, store, OfSkipped(namespace, 6, 9)) // which waits
	for epoch := uint64(1); epoch <= 6; epoch++ {
		resolve(epoch)
	}
	r.wait(t, 2)
	stop()
	if n := r.count()["resolved "+SkippedIncident(6)]; n != 0 {
		t.Error("an end came before its beginning")
	}
	must(t, dispatcher(t, store, patient(), r.target("reader")).Flush(t.Context()))
	seen := map[string]bool{}
	for _, alerts := range r.messages {
		for _, a := range alerts {
			if a.Resolved() && !seen[a.Incident] {
				t.Errorf("the end of %s came before its beginning", a.Incident)
			}
			seen[a.Incident] = true
		}
	}
	for epoch := uint64(1); epoch <= 6; epoch++ {
		for _, status := range []string{"firing ", "resolved "} {
			if n := r.count()[status+SkippedIncident(epoch)]; n != 1 {
				t.Errorf("%s%s came %d times", status, SkippedIncident(epoch), n)
			}
		}
	}
}

// A QuietEnds target gets the end of each condition at once.
func TestQuietEnds(t *testing.T) {
	t.Parallel()
	store, r := auditstore.New(memblob.OpenBucket(nil)), &reader{}
	target := r.target("reader")
	target.QuietEnds = true
	raise(t, store, OfSkipped(namespace, 1, 9), OfSkipped(namespace, 2, 9))
	start(t, dispatcher(t, store, patient(), target))
	eventually(t, "both began", func() bool { return len(r.count()) == 2 })
	for epoch := uint64(1); epoch <= 2; epoch++ {
		must(t, Outbox{store}.Resolve(t.Context(), namespace, SkippedIncident(epoch), began.Add(time.Hour)))
		eventually(t, "its end comes", func() bool { return r.count()["resolved "+SkippedIncident(epoch)] == 1 })
	}
}

// Of a message that a target refuses one alert may be at fault. It keeps no other from being sent,
// and a target that refuses everything is left alone soon.
func TestARefusedGroupIsSentInHalves(t *testing.T) {
	t.Parallel()
	const many = 500
	bad := filled(rejectionFor(137, verdict.DigestMismatch)).Incident
	for name, c := range map[string]struct {
		refuse              func([]Alert) bool
		delivered, requests int
	}{
		"one": {func(alerts []Alert) bool {
			return slices.ContainsFunc(alerts, func(a Alert) bool { return a.Incident == bad })
		}, many - 1, 40},
		"all": {func([]Alert) bool { return true }, 0, 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, r := auditstore.New(memblob.OpenBucket(nil)), &reader{refuse: c.refuse}
			for epoch := uint64(1); epoch <= many; epoch++ {
				raise(t, store, rejectionFor(epoch, verdict.DigestMismatch))
			}
			o := patient()
			o.retry = retryTimes{first: time.Hour, longest: time.Hour, refused: time.Hour, claimed: time.Millisecond}
			if err := dispatcher(t, store, o, r.target("reader")).Flush(t.Context()); err == nil {
				t.Error("no error")
			}
			if len(r.count()) != c.delivered || r.asked > c.requests {
				t.Errorf("%d alerts came, in %d requests", len(r.count()), r.asked)
			}
		})
	}
}

// TestACrashInAFloodLosesNoAlert kills a dispatcher at each of its changes to the store in turn,
// while it sends groups: also between a message and its marks, and between two marks. Whatever was
// raised is in a message in the end, and twice only what was sent without a mark.
func TestACrashInAFloodLosesNoAlert(t *testing.T) {
	t.Parallel()
	var alerts []Alert
	for epoch := uint64(1); epoch <= 6; epoch++ {
		alerts = append(alerts, rejectionFor(epoch, []verdict.Reason{verdict.DigestMismatch, verdict.OverlappingLabels}[epoch%2]))
	}
	for epoch := uint64(7); epoch <= 9; epoch++ {
		alerts = append(alerts, OfSkipped(namespace, epoch, 99))
	}
	const changes = 90 // more than there are
	for _, persisted := range []bool{false, true} {
		for n := 1; n <= changes; n++ {
			t.Run(fmt.Sprintf("persisted %v/change %d", persisted, n), func(t *testing.T) {
				t.Parallel()
				memory, r := memblob.OpenBucket(nil), &reader{}
				alive := auditstore.New(memory)
				raise(t, alive, alerts...)
				want := map[string]string{} // the notices
				for _, a := range alerts {
					want["firing "+a.Incident] = filled(a).noticeName()
					if a.Kind.Ends() {
						must(t, Outbox{alive}.Resolve(t.Context(), namespace, a.Incident, began.Add(time.Hour)))
						want["resolved "+a.Incident] = filled(a).endName()
					}
				}
				dispatch := func(s *auditstore.Store) error {
					o := patient()
					o.lease = crashLease
					return flush(t.Context(), dispatcher(t, s, o, r.target("reader")))
				}
				b := &mortal{memory: memory, at: n, persisted: persisted}
				_ = dispatch(auditstore.New(blob.NewBucket(b)))
				before, unmarked := r.count(), map[string]bool{}
				for alert, notice := range want {
					marked, err := alive.Outbox(namespace).Delivered(t.Context(), "reader", notice)
					must(t, err)
					unmarked[alert] = before[alert] > 0 && !marked
				}
				for range 2 {
					must(t, dispatch(alive))
				}
				wantOpen(t, alive)
				got := r.count()
				for alert := range want {
					if n := got[alert]; n != 1 && !(unmarked[alert] && n == 2) {
						t.Errorf("died at %q: %s came %d times", b.last, alert, n)
					}
				}
				if b.changes == changes {
					t.Error("there are more changes than are tested")
				}
			})
		}
	}
}

func recordedPauses(t *testing.T, s *auditstore.Store) (names []string) {
	t.Helper()
	for name, err := range s.Folder(namespace, pauses.Folder).Names(t.Context(), "", "reader") {
		must(t, err)
		names = append(names, strings.TrimSuffix(name, ".json"))
	}
	return names
}

// A pause that a wrong clock began, or that is long over, holds nothing up.
func TestPausesOfOtherTimes(t *testing.T) {
	t.Parallel()
	store, r := auditstore.New(memblob.OpenBucket(nil)), &reader{}
	a := filled(rejectionFor(1, verdict.DigestMismatch))
	put := func(name string) {
		_, err := store.Folder(namespace, pauses.Folder).Put(t.Context(), []byte("{}"), "reader", name)
		must(t, err)
	}
	for _, until := range []time.Duration{-2 * time.Hour, 1000 * time.Hour} {
		put(fmt.Sprintf("%013d-7-%s", time.Now().Add(until).UnixMilli(), a.cause()))
	}
	put("of-somebody-else")
	raise(t, store, a)
	stop := start(t, dispatcher(t, store, patient(), r.target("reader")))
	r.wait(t, 1)
	eventually(t, "a pause begins", func() bool { return len(recordedPauses(t, store)) == 4 })
	stop()
	if name := recordedPauses(t, store)[1]; !strings.HasSuffix(name, "-0-"+a.cause()) {
		t.Errorf("%q", recordedPauses(t, store))
	}
}
