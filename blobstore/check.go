package blobstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckURL says what is wrong with a bucket URL or plain path as far as that shows without opening
// it.
func CheckURL(url string) error {
	_, err := parse(url)
	return err
}

// Present returns a function that tells whether the folder of a bucket URL is there and what is
// under a prefix of keys can be read, for gocloud lists what is not there or may not be read as if
// it were empty; nil for buckets of other kinds, which say so themselves.
func Present(url string) func(ctx context.Context, prefix string) error {
	l, err := parse(url)
	if err != nil || l.scheme != "file" {
		return nil
	}
	return func(ctx context.Context, prefix string) error {
		if _, err := os.Stat(l.folder); err != nil {
			return err
		}
		return filepath.WalkDir(filepath.Join(l.folder, l.prefix, prefix), func(_ string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return ctx.Err()
			}
			return errors.Join(err, ctx.Err())
		})
	}
}
