package fetcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"golang.org/x/sync/errgroup"
)

// Downloads that wait for their turn at the rate of a host do not blame the host for it.
func TestWaitingForATurnIsNoStall(t *testing.T) {
	t.Parallel()
	log := memblob.OpenBucket(nil)
	server := s3listtest.New(t, log)
	bucket, err := blob.OpenBucket(t.Context(), server.BucketURL()+"?rate=10")
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	f := New(bucket, Options{IdleTimeout: 200 * time.Millisecond, MaxAttempts: 1})
	var group errgroup.Group
	for epoch := range 20 {
		key := fmt.Sprintf("%d/%s/%s", epoch+1, strings.Repeat("ab", 32), strings.Repeat("cd", 32))
		if err := log.WriteAll(t.Context(), key, []byte("batch"), nil); err != nil {
			t.Fatal(err)
		}
		group.Go(func() error {
			batch, err := f.Open(t.Context(), Object{Key: key, Size: 5}, nil)
			if err != nil {
				return err
			}
			defer batch.Close()
			return batch.Finish()
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
