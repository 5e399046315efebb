package report

import (
	"context"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxBehind bounds how many rejected epochs are gone back through to a verified one.
const maxBehind = 1000

// isIsland reports whether a verified epoch that continues no verified one contradicts the rejected
// one right before it, too: that claims another digest. Where the rejected one names no digest,
// nothing is contradicted.
func isIsland(before verdict.Verdict, begin string) bool {
	if before.Outcome != verdict.Rejected || verdict.LinkDigests(before.Digest, begin) != verdict.Broken {
		return false
	}
	// one of several batches of the rejected epoch
	return before.Reason != verdict.Equivocation || begin == "" || !strings.Contains(before.Detail, begin)
}

// FindIslands returns, for verified epochs that continue no verified one, the verdict on the
// rejected epoch before each that claims another digest than the one that it begins with, if there
// are only rejected ones back to a verified one: before a gap the epoch that it continues may still
// be judged.
func FindIslands(ctx context.Context, store *auditstore.Store, namespace string, unknown map[uint64]string) (map[uint64]verdict.Verdict, error) {
	islands := map[uint64]verdict.Verdict{}
	for epoch, begin := range unknown {
		for at := epoch - 1; at > 0 && epoch-at <= maxBehind; at-- {
			v, err := store.NewestVerdict(ctx, namespace, at)
			if auditstore.IsLost(err) || auditstore.IsUnreadable(err) {
				delete(islands, epoch)
				break
			}
			if err != nil {
				return nil, err
			}
			if v.Outcome == verdict.Verified {
				break
			}
			if at == epoch-1 {
				if !isIsland(v, begin) {
					break
				}
				islands[epoch] = v
			}
			if at == 1 || epoch-at == maxBehind { // nothing verified, or too far to tell
				delete(islands, epoch)
			}
		}
	}
	return islands, nil
}
