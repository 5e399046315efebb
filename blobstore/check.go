package blobstore

import (
	"context"
	"os"

	"github.com/ktaudit/ktaudit/internal/localdisk"
	"gocloud.dev/blob"
)

// CheckURL says what is wrong with a bucket URL or plain path as far as that shows without opening
// it.
func CheckURL(url string) error {
	_, err := parse(url)
	return err
}

// Present returns a function that tells whether the folder of a bucket URL is there and what is
// under a prefix of keys can be read; nil for buckets of other kinds, which say so themselves.
func Present(url string) func(ctx context.Context, prefix string) error {
	l, err := parse(url)
	if err != nil || l.scheme != "file" {
		return nil
	}
	bucket := localdisk.Bucket(l.folder) // holds nothing open
	return func(ctx context.Context, prefix string) error {
		if _, err := os.Stat(l.folder); err != nil {
			return err
		}
		_, _, err := bucket.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: l.prefix + prefix})
		return err
	}
}
