package selfcheck

import (
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// What an event speaks of cannot be taken back: neither an incident nor who has dealt with it, nor
// that a verdict was overruled.
func TestObjectsOfEvents(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		forge func(w *world)
		want  FindingKind // empty: nothing
	}{
		"nothing": {func(*world) {}, ""},
		"a condition that is over": {func(w *world) {
			must(w, w.store.Incidents(namespace).End(w.Context(), "withdrawn.000000001500", []byte("over")))
		}, ""},
		"an incident is removed": {func(w *world) { w.remove("incidents/open/rejected") }, Missing},
		"an incident is said to be over": {func(w *world) {
			must(w, w.store.Incidents(namespace).End(w.Context(), "rejected.000000001700", []byte("over")))
		}, Missing},
		"a condition is removed":             {func(w *world) { w.remove("incidents/open/withdrawn") }, Missing},
		"an incident is changed":             {func(w *world) { w.rewrite("incidents/open/rejected.000000001700.json", "wrong", "right") }, Changed},
		"all incidents are removed":          {func(w *world) { w.remove("incidents/") }, Missing},
		"an acknowledgement is changed":      {func(w *world) { w.rewrite("incidents/acknowledged/rejected.000000001700.json", "alice", "carol") }, Changed},
		"an acknowledgement is taken back":   {func(w *world) { w.remove("incidents/acknowledged/") }, Missing},
		"an overruling is taken back":        {func(w *world) { w.remove("overruled/") }, Missing},
		"an overruling says something else":  {func(w *world) { w.rewrite("overruled/000000001/000000001700-001.json", "it was noise", "it was error") }, Changed},
		"the history of seals is unreadable": {func(w *world) { w.remove("history/"); w.remove("overruled/") }, Missing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			incidents := w.store.Incidents(namespace)
			must(t, incidents.Put(t.Context(), "rejected.000000001700", []byte("wrong\n")))
			must(t, incidents.Put(t.Context(), "withdrawn.000000001500", []byte("gone\n")))
			_, _, err := incidents.PutAcknowledgement(t.Context(), "rejected.000000001700", []byte("alice\n"))
			must(t, err)
			must(t, w.store.PutOverruling(t.Context(), verdict.Overruling{
				Schema: verdict.Schema, Namespace: namespace, Epoch: 1700, Number: 1, By: "alice", Reason: "it was noise", At: time.Unix(1_790_000_000, 0).UTC(),
				Overruled: verdict.Overruled{Outcome: verdict.Verified, SHA256: verdictOn(1, "").Digest}, Verdict: verdictOn(1700, "again"),
			}))
			w.advance()
			test.forge(w)
			for _, full := range []bool{true, false} {
				kinds, text := w.found(w.checker(full))
				if test.want == "" && len(kinds) > 0 || test.want != "" && !slices.Contains(kinds, test.want) {
					t.Errorf("full %v: found %q, want %q:\n%s", full, kinds, test.want, text)
				}
			}
		})
	}
}
