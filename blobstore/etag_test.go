package blobstore

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// Each service tells of a body which state of the object it is of; local disk does not.
func TestETag(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"s3": testservers.S3(t).BucketURL("etag"), "azblob": testservers.Azure(t).ContainerURL("etag"), "gs": testservers.Google(t).BucketURL("etag"),
		"file": t.TempDir(),
	} {
		b, err := OpenBucket(t.Context(), url)
		if err != nil {
			t.Fatal(name, err)
		}
		defer b.Close()
		var states []string
		for _, content := range []string{"aaaa", "bbbb"} {
			if err := b.WriteAll(t.Context(), "k", []byte(content), nil); err != nil {
				t.Fatal(name, err)
			}
			for _, offset := range []int64{0, 2} {
				r, err := b.NewRangeReader(t.Context(), "k", offset, 2, nil)
				if err != nil {
					t.Fatal(name, err)
				}
				states = append(states, ETag(r))
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if states[0] != states[1] || states[2] != states[3] || (states[0] != states[2]) != (name != "file") {
			t.Errorf("%s: %q", name, states)
		}
	}
}
