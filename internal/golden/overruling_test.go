package golden_test

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
)

// putOverruling overrules a verdict twice.
func putOverruling(t *testing.T) []object {
	w := emptyWorld(t)
	for number := uint64(1); number <= 2; number++ {
		o := verdict.Overruling{
			Schema: verdict.Schema, Namespace: namespace, Epoch: 331, Number: number, By: "R. Ivanov", Reason: "wrong key <&>", At: began,
			Overruled: verdict.Overruled{Outcome: verdict.Rejected, Reason: verdict.SignatureInvalid, SHA256: digest(331)},
			Verdict:   verdictOn(331),
		}
		must(t, w.store.PutOverruling(t.Context(), o))
		a := alert.Alert{
			Kind: alert.Overruled, Namespace: o.Namespace, Incident: alert.OverruledIncident(o.Epoch, o.Number), Epoch: o.Epoch,
			Reason: string(o.Verdict.Reason), At: began, Summary: "a summary", Detail: "a detail",
		}
		_, err := alert.Outbox{Store: w.store}.Raise(t.Context(), a)
		must(t, err)
	}
	return w.audit.objects()
}
