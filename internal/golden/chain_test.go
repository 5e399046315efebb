package golden_test

import (
	"fmt"
	"testing"

	"github.com/ktaudit/ktaudit/jobs/chain"
	"github.com/rs/zerolog"
)

// walkNames walks the names of a log twice. Its epochs have a gap, a double and a break, there is a
// stray key, and a name far away; before the second walk a name has changed.
func walkNames(t *testing.T) []object {
	w := emptyWorld(t)
	name := func(epoch, previous, end uint64) string {
		return fmt.Sprint(epoch) + "/" + digest(previous) + "/" + digest(end)
	}
	for epoch := uint64(1); epoch <= 12; epoch++ {
		switch epoch {
		case 5:
			continue
		case 8:
			w.write(t, name(epoch, 99, epoch), nil)
		case 10:
			w.write(t, name(epoch, epoch-1, 98), nil)
			fallthrough
		default:
			w.write(t, name(epoch, epoch-1, epoch), nil)
		}
	}
	w.write(t, "7/notes", nil)
	w.write(t, name(5_000_000, 1, 2), nil)
	walker, err := chain.New(chain.Config{
		Namespace: namespace, Log: w.log, Parallel: 1, Store: w.store, First: 1, MaxRequests: 10, Rechecks: 1, Logger: zerolog.Nop(),
	})
	must(t, err)
	_, err = walker.Walk(t.Context())
	must(t, err)
	must(t, w.log.Delete(t.Context(), name(3, 2, 3)))
	w.write(t, name(3, 2, 97), nil)
	_, err = walker.Walk(t.Context())
	must(t, err)
	return w.audit.objects()
}
