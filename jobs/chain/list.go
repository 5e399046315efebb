package chain

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/text"
	"gocloud.dev/blob"
)

const (
	// pageSize is how many keys are asked for at a time; S3 lists no more. longPage is for stores
	// that list from the beginning each time.
	pageSize, longPage = 1000, 10_000
	// maxShown is how much of a key errors and reports show.
	maxShown = 200
)

// lister lists a bucket within a number of requests.
type lister struct {
	bucket   *blob.Bucket
	size     int
	max      int64
	requests atomic.Int64
}

// List calls add with the objects of a log directory whose keys have a prefix, page by page and in
// the order of their keys, which it checks. It returns how many requests that took, of which there
// are at most max: where these do not suffice, that is an error.
func List(ctx context.Context, log *blob.Bucket, prefix string, max int, add func(page []*blob.ListObject)) (requests int, err error) {
	l := &lister{bucket: log, size: pageSize, max: int64(max)}
	err = l.each(ctx, prefix, blob.FirstPageToken, func(page []*blob.ListObject, _ []byte) (bool, error) {
		add(page)
		return true, nil
	})
	return int(l.requests.Load()), err
}

// each calls add with the objects below a prefix from a page on, in the order of their keys, which
// it checks. It ends with the listing, or before the first page once add returns false.
//
// A page that brings nothing new is an error: a listing that goes round in circles, or back, would
// never end, and nothing that was taken for complete before would be.
func (l *lister) each(ctx context.Context, prefix string, token []byte, add func(page []*blob.ListObject, next []byte) (bool, error)) error {
	return l.watched(ctx, prefix, token, &s3list.Freshness{}, add)
}

// watched is each, and has f note whether the answers were the log's own.
func (l *lister) watched(
	ctx context.Context, prefix string, token []byte, f *s3list.Freshness, add func(page []*blob.ListObject, next []byte) (bool, error),
) error {
	last := ""
	for len(token) > 0 {
		before := l.requests.Load()
		page, next, err := l.bucket.ListPage(ctx, token, l.size, &blob.ListOptions{
			Prefix: prefix,
			BeforeList: func(as func(any) bool) error {
				if err := l.count(); err != nil {
					return err
				}
				return f.Watch(as)
			},
		})
		if err == nil && l.requests.Load() == before { // a driver that does not say when it asks
			if err = l.count(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil { // also after success: local disks ignore the context
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("listing the log's names after %q: %w", text.Clean(last, maxShown), err)
		}
		if len(page) == 0 && len(next) > 0 {
			return fmt.Errorf("listing the log's names: an empty page after %q, and no end", text.Clean(last, maxShown))
		}
		if err := inOrder(page, &last); err != nil {
			return err
		}
		more, err := add(page, next)
		if err != nil || !more {
			return err
		}
		token = next
	}
	return nil
}

// count counts a request, and returns an error if it is one too many.
func (l *lister) count() error {
	if l.requests.Add(1) > l.max {
		return fmt.Errorf("no end of the listing after %d requests: raise the limit if the log is that long", l.max)
	}
	return nil
}

// inOrder returns an error unless the keys of a page ascend after a last one, which becomes that of
// the page.
func inOrder(page []*blob.ListObject, last *string) error {
	for _, o := range page {
		if o.Key <= *last {
			return fmt.Errorf("listing the log's names: %q comes after %q, so the listing is out of order or repeats itself: nothing can be concluded from it",
				text.Clean(o.Key, maxShown), text.Clean(*last, maxShown))
		}
		*last = o.Key
	}
	return nil
}
