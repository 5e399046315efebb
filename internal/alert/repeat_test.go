package alert

import (
	"context"
	"slices"
	"testing"
	"time"
)

// repeated is a target that wants what is open repeated, and takes everything.
func repeated(every time.Duration, took func(Alert)) Target {
	return Target{Name: "repeated", Batch: 100, Repeat: every, Send: func(_ context.Context, alerts []Alert) error {
		for _, a := range alerts {
			took(a)
		}
		return nil
	}}
}

// Once its end was sent, a condition is not repeated: Alertmanager would take it for a new one.
func TestAConditionIsNotRepeatedAfterItsEnd(t *testing.T) {
	t.Parallel()
	var states []string
	target := repeated(time.Nanosecond, func(a Alert) {
		if n := len(states); n == 0 || states[n-1] != a.Status() {
			states = append(states, a.Status())
		}
	})
	open := inMemory()
	d := dispatcher(t, open(t), Options{}, target)
	raise(t, open(t), OfSilent(namespace, 5, began))
	must(t, d.Flush(t.Context()))
	must(t, Outbox{open(t)}.Resolve(t.Context(), namespace, SilentIncident(5), time.Now()))
	for range 3 {
		must(t, d.Flush(t.Context()))
	}
	if !slices.Equal(states, []string{"firing", "resolved"}) {
		t.Errorf("sent: %q", states)
	}
}

// What is repeated is let go in the end, so that the open notices stay few.
func TestFactsAreHeldForAWeek(t *testing.T) {
	t.Parallel()
	posts := 0
	target := repeated(time.Nanosecond, func(Alert) { posts++ })
	open := inMemory()
	old, fresh := OfVerdict(rejection(1)), OfVerdict(rejection(2))
	old.At = time.Now().Add(-FactActiveFor)
	raise(t, open(t), old, fresh, OfSilent(namespace, 5, began), OfSilent(namespace, 7, began))
	box := Outbox{open(t)}
	must(t, box.Resolve(t.Context(), namespace, SilentIncident(5), time.Now().Add(-repeatEndFor)))
	must(t, box.Resolve(t.Context(), namespace, SilentIncident(7), time.Now()))
	d := dispatcher(t, open(t), Options{}, target)
	for n := range 3 {
		must(t, d.Flush(t.Context()))
		if posts <= n {
			t.Errorf("%d posts after %d rounds", posts, n+1)
		}
	}
	wantOpen(t, open(t), "1-rejected.000000000002", "3-silent.000000000007")
}

func TestAFloodIsNotHeld(t *testing.T) {
	t.Parallel()
	target := repeated(time.Minute, func(Alert) {})
	open := inMemory()
	const extra = 5
	for epoch := range uint64(maxRepeated + extra) {
		raise(t, open(t), OfVerdict(rejection(epoch)))
	}
	must(t, dispatcher(t, open(t), Options{}, target).Flush(t.Context()))
	names, err := open(t).Outbox(namespace).Open(t.Context())
	if err != nil || len(names) != maxRepeated {
		t.Errorf("%d are open, %v, want %d", len(names), err, maxRepeated)
	}
}
