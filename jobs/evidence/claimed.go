package evidence

import (
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/validator"
)

// Claimed are the batches of an equivocation but for the one that was judged, if any was: one key
// for each name first, then further keys of the same names.
func Claimed(e *fetcher.EquivocationError, judged string) []incident.Batch {
	seen := map[validator.Name]bool{}
	if name, err := fetcher.ReadKey(judged); err == nil {
		seen[name] = true
	}
	var first, again []incident.Batch
	for _, key := range e.Keys {
		batch := incident.Batch{Epoch: e.Epoch, Key: key}
		name, err := fetcher.ReadKey(key)
		switch {
		case key == judged:
		case err != nil || seen[name]:
			again = append(again, batch)
		default:
			seen[name] = true
			first = append(first, batch)
		}
	}
	return append(first, again...)
}
