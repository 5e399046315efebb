package golden_test

import (
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/rs/zerolog"
)

// incidents raises one incident of each kind, ends the conditions, and acknowledges the facts.
func incidents(t *testing.T) []object {
	w := emptyWorld(t)
	r := incident.Recorder{Store: w.store, Log: zerolog.Nop()}
	for _, a := range everyAlert() {
		must(t, r.Raise(t.Context(), a))
		if a.Kind.Ends() {
			must(t, r.Resolve(t.Context(), a, began.Add(time.Hour)))
			continue
		}
		_, _, err := r.Acknowledge(t.Context(), incident.Acknowledgement{
			Namespace: namespace, Incident: a.Incident, By: "alice", Reason: "a <reason> & more", At: began,
		})
		must(t, err)
	}
	must(t, r.Reconcile(t.Context(), namespace))
	return w.audit.objects()
}
