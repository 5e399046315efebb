package golden_test

import (
	"testing"

	pagesummary "github.com/ktaudit/ktaudit/page/summary"
)

// sumUpShard has the public page sum up the verdicts of a shard.
func sumUpShard(t *testing.T) []object {
	w := emptyWorld(t)
	for epoch := uint64(1); epoch <= 999; epoch++ {
		w.put(t, verdictOn(epoch))
	}
	_, err := pagesummary.NewReader(w.store, pagesummary.Log{Name: namespace, First: 1}).Round(t.Context(), began)
	must(t, err)
	return w.audit.objects()
}
