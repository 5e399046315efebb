package chain

import (
	"context"

	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"
)

// splitFrom is the epoch from which on a log is listed in parts. If the log has it, it is among the
// first keys.
const splitFrom = 10_000

// listAll lists the whole log. The keys before those that begin with a 1 come first, for they may
// write any epoch otherwise. If the log is long, the keys of each other first digit are listed
// beside those of the first.
func (k *walk) listAll(ctx context.Context) error {
	first := k.collector.part()
	token := blob.FirstPageToken
	split := false
	err := k.lister.each(ctx, "", token, func(page []*blob.ListObject, next []byte) (bool, error) {
		err := k.add(first, page)
		if len(page) > 0 && len(next) > 0 && k.After != nil {
			last := page[len(page)-1].Key
			_, highest := k.collector.counts()
			split, token = highest >= splitFrom && "1" <= last && last < "2", next
		}
		return !split, err
	})
	if err != nil {
		return err
	}
	if !split {
		if err := first.end(); err != nil {
			return err
		}
		return k.collector.end()
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(k.Parallel)
	group.Go(func() error { return k.listUpTo(groupCtx, first, token, "2") })
	for _, start := range []string{"2", "3", "4", "5", "6", "7", "8", "9"} {
		end := ""
		if start < "9" {
			end = string(start[0] + 1)
		}
		group.Go(func() error { return k.listUpTo(groupCtx, k.collector.part(), k.After(start), end) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return k.collector.end()
}

// listUpTo lists from a page on up to a key, included; up to the end if that is empty.
func (k *walk) listUpTo(ctx context.Context, p *part, token []byte, end string) error {
	err := k.lister.each(ctx, "", token, func(page []*blob.ListObject, _ []byte) (bool, error) {
		n := len(page)
		for end != "" && n > 0 && page[n-1].Key > end {
			n--
		}
		return n == len(page), k.add(p, page[:n])
	})
	if err != nil {
		return err
	}
	return p.end()
}

// listPrefix lists the keys with a prefix.
func (k *walk) listPrefix(ctx context.Context, prefix string) error {
	p := k.collector.part()
	err := k.lister.each(ctx, prefix, blob.FirstPageToken, func(page []*blob.ListObject, _ []byte) (bool, error) {
		return true, k.add(p, page)
	})
	if err != nil {
		return err
	}
	return p.end()
}

func (k *walk) add(p *part, page []*blob.ListObject) error {
	if err := p.add(page); err != nil {
		return err
	}
	if k.Progress != nil {
		k.Progress(k.collector.counts())
	}
	return nil
}
