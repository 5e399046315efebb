package report

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// Sample returns so many epochs of a range that have a verdict, by chance, ascending.
func Sample(ctx context.Context, store *auditstore.Store, namespace string, from, to uint64, size int) ([]uint64, error) {
	// Each epoch of the so many seen so far is in the sample with the same chance.
	var sample []uint64
	seen := 0
	err := EachShard(ctx, store, namespace, from, to, func(epochs []uint64) error {
		for _, epoch := range epochs {
			seen++
			if len(sample) < size {
				sample = append(sample, epoch)
			} else if i := rand.IntN(seen); i < size {
				sample[i] = epoch
			}
		}
		return nil
	})
	slices.Sort(sample)
	return sample, err
}
