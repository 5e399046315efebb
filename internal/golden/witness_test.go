package golden_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/witness"
)

// cosignTwice has a witness cosign two trees of a log.
func cosignTwice(t *testing.T) []object {
	w := emptyWorld(t)
	l := tlogtest.New("log.example").Grow(5, "entry ")
	one, err := witness.New(w.store, "w.example", tlogtest.Key("w.example"), []witness.Log{{Key: l.Verifier()}})
	must(t, err)
	for _, step := range [][2]int64{{0, 3}, {3, 5}} {
		var request bytes.Buffer
		fmt.Fprintf(&request, "old %d\n", step[0])
		for _, h := range l.Consistency(step[1], step[0]) {
			fmt.Fprintln(&request, h)
		}
		fmt.Fprintf(&request, "\n%s", l.Checkpoint(step[1]))
		_, err := one.Add(t.Context(), request.Bytes())
		must(t, err)
	}
	return w.audit.objects()
}
