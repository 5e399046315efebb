package blobstore

import (
	"context"
	"fmt"
	"os"

	"gocloud.dev/blob"
)

// Ping returns nil if the audit store is there and answers a read. It costs one small request. On local disk it may hang as
// long as the file system does, whatever ctx says.
func (s *Store) Ping(ctx context.Context) error { return s.objects.ping(ctx) }

// ping lists, because a service says of an object in a bucket that is gone what it says of an object that is.
func (b *bucket) ping(ctx context.Context) error {
	if _, _, err := b.ListPage(ctx, blob.FirstPageToken, 1, nil); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return nil
}

func (d *disk) ping(context.Context) error {
	info, err := os.Stat(d.root)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", d.root)
	}
	return err
}
