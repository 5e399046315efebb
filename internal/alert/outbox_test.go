package alert

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"gocloud.dev/blob/memblob"
)

func TestEndOfAConditionIsSentToTargetsThatHaveIt(t *testing.T) {
	onEachStore(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		s := open(t)
		box := Outbox{s}
		resolve := func(incident string) {
			t.Helper()
			for range 2 {
				must(t, box.Resolve(t.Context(), namespace, incident, began.Add(time.Hour)))
			}
		}
		flush := func() {
			t.Helper()
			must(t, dispatcher(t, open(t), Options{}, rc.target(t, "hook")).Flush(t.Context()))
		}
		resolve(SilentIncident(4)) // was never raised
		raise(t, s, OfSilent(namespace, 5, began))
		flush()
		resolve(SilentIncident(5))
		flush()
		flush()
		rc.want(t, "firing silent/000000000005", "resolved silent/000000000005")
		if m := rc.accepted[1]; !m.At.Equal(began) || !m.ResolvedAt.Equal(began.Add(time.Hour)) {
			t.Errorf("resolved: %+v", m)
		}
		wantOpen(t, s)

		raise(t, s, OfSilent(namespace, 9, began)) // another time; begun and over before it is sent
		resolve(SilentIncident(9))
		flush()
		raise(t, s, OfSilent(namespace, 5, began)) // the first one cannot come again
		resolve(SilentIncident(5))
		flush()
		rc.want(t, "firing silent/000000000005", "resolved silent/000000000005", "firing silent/000000000009", "resolved silent/000000000009")
		flush()
		wantOpen(t, s)
	})
}

func TestUnresolvedConditionsAreFoundAfterARestart(t *testing.T) {
	t.Parallel()
	open := inMemory()
	box := Outbox{open(t)}
	raise(t, open(t), OfVerdict(rejection(1)), OfSilent(namespace, 5, began), OfBacklog(namespace, 6, began), OfSkipped(namespace, 7, 8))
	must(t, box.Resolve(t.Context(), namespace, incidentOf(Backlog, 6), began))
	want := []string{SkippedIncident(7), SilentIncident(5)}
	for range 2 {
		lasting, err := box.Unresolved(t.Context(), namespace, nil)
		var got []string
		for _, a := range lasting {
			got = append(got, a.Incident)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("unresolved: %q, %v, want %q", got, err, want)
		}
		must(t, dispatcher(t, open(t), Options{}).Flush(t.Context())) // delivered or not
	}
	if err := box.Resolve(t.Context(), namespace, "rejected/000000000001", began); err == nil {
		t.Error("a rejection is resolved")
	}
}

// A notice is read once, however long its condition lasts. One that cannot be read hides no other.
func TestUnresolvedConditionsAreReadOnce(t *testing.T) {
	t.Parallel()
	bucket := memblob.OpenBucket(nil)
	store := auditstore.New(bucket)
	raise(t, store, OfSkipped(namespace, 7, 8), OfSilent(namespace, 5, began))
	known := map[string]Alert{}
	want := func(corrupt bool, want ...string) {
		t.Helper()
		lasting, err := Outbox{store}.Unresolved(t.Context(), namespace, known)
		var got []string
		for _, a := range lasting {
			got = append(got, a.Incident)
		}
		if errors.Is(err, auditstore.ErrCorrupt) != corrupt || !corrupt && err != nil || !slices.Equal(got, want) {
			t.Errorf("unresolved: %q, %v, want %q", got, err, want)
		}
	}
	want(false, SkippedIncident(7), SilentIncident(5))
	key := namespace + "/alerts/open/" + noticeName(Skipped, SkippedIncident(7), false) + ".json"
	must(t, bucket.WriteAll(t.Context(), key, []byte("{"), nil))
	want(false, SkippedIncident(7), SilentIncident(5))
	clear(known)
	want(true, SilentIncident(5))
	must(t, Outbox{store}.Resolve(t.Context(), namespace, SilentIncident(5), began))
	want(true)
}
